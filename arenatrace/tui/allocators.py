"""Settings of this process's allocators, so that freed memory goes back to the kernel.

Following a recording allocates and frees memory for each diagnosis, several times a second. By
default the allocators keep freed memory in pools whose number grows with the number of cores, and
the resident size is the sum of each pool's maximum.
"""

from __future__ import annotations

import ctypes
import os

#: jemalloc, which polars bundles, reads this when it is loaded: two pools; free pages go back to
#: the kernel after this many ms, without the intermediate state in which they still count as
#: resident.
_JEMALLOC = "narenas:2,dirty_decay_ms:100,muzzy_decay_ms:0"
_VARIABLE = "_RJEM_MALLOC_CONF"

#: mallopt(3) parameters and values: the number of pools, and the block size in bytes above which a
#: block is mapped by itself and unmapped when freed. malloc would raise that size over time.
_MALLOPT = ((-8, 2), (-3, 1 << 20))


def return_memory_early() -> None:
    """Make the allocators return free memory soon.

    Has no effect on polars if it is already imported. Leaves the environment as it was; the user's
    own settings take precedence.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        for parameter, value in _MALLOPT:
            libc.mallopt(parameter, value)
    before = os.environ.get(_VARIABLE)
    os.environ[_VARIABLE] = f"{_JEMALLOC},{before}" if before else _JEMALLOC
    try:
        import polars  # noqa: F401 - reads the variable
    finally:
        if before is None:
            del os.environ[_VARIABLE]
        else:
            os.environ[_VARIABLE] = before
