"""How the allocators of this process treat memory that is free again.

Following a recording takes memory for each diagnosis and gives it back, several times a second.
As they come, the allocators keep what was given back in many pools, as many more as the machine
has cores: what the process holds is then the sum of what each pool needed at its worst.
"""

from __future__ import annotations

import ctypes
import os

#: Of jemalloc, which polars brings along and which reads this when it is loaded: two pools, and
#: pages that are free go back to the kernel after so many ms, without a state in between in
#: which they count as ours until somebody else needs them.
_JEMALLOC = "narenas:2,dirty_decay_ms:100,muzzy_decay_ms:0"
_VARIABLE = "_RJEM_MALLOC_CONF"

#: mallopt(3): parameters and values. Pools, and from how many bytes on a block is mapped by itself
#: (and given back at once), which malloc would raise as it goes.
_MALLOPT = ((-8, 2), (-3, 1 << 20))


def return_memory_early() -> None:
    """Make the allocators give free memory back soon.

    Has no effect on polars where polars has been imported already, and leaves the environment
    as it was. What the user has set in it goes before what is set here.
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
