"""Parser of call trace lines in ``%pS`` format (``lib/vsprintf.c``, ``__sprint_symbol``)."""

from __future__ import annotations

import re
from functools import lru_cache

from arenatrace.importers.reports.records import Frame, Task

# At most 8 digits: offsets and sizes fit into 32 bits. KSYM_NAME_LEN is 512.
_FRAME = re.compile(
    r"\s*(?P<unsure>\? )?(?P<symbol>[A-Za-z_$.][\w$.]{0,511})"
    r"\+0x(?P<offset>[0-9a-f]{1,8})/0x(?P<size>[0-9a-f]{1,8})"
    r"(?: \[(?P<module>[^\s\]]+)[^\]]*\])?\s*",
    re.ASCII,
)
_BARE = re.compile(r"\s*(?P<unsure>\? )?0x(?P<address>[0-9a-f]{9,16})\s*")
_TASK = re.compile(
    r"\s*CPU: (\d{1,5}) (?:UID: \d{1,10} )?PID: (\d{1,10}) Comm: (.*)", re.ASCII | re.DOTALL
)

_MAX_U16, _MAX_U32 = 0xFFFF, 0xFFFFFFFF

#: Outermost frames of a stack: kernel entry points and thread starts.
ROOTS = frozenset(
    {
        "entry_SYSCALL_64_after_hwframe",
        "entry_SYSCALL_compat_after_hwframe",
        "entry_INT80_compat",
        "ret_from_fork_asm",
        "common_startup_64",
        "secondary_startup_64_no_verify",
        "el0t_64_sync",
        "ret_from_fork",
    }
)


@lru_cache(maxsize=16384)
def parse_frame(text: str) -> Frame | None:
    """Return the frame on this line; None if it is not a frame or is marked unreliable (``?``)."""
    found = _FRAME.fullmatch(text)
    if found is not None:
        if found["unsure"]:
            return None
        return Frame(
            found["symbol"], int(found["offset"], 16), int(found["size"], 16), found["module"]
        )
    bare = _BARE.fullmatch(text)
    if bare is None or bare["unsure"]:
        return None
    return Frame("", address=int(bare["address"], 16))


@lru_cache(maxsize=1024)
def parse_task(text: str) -> Task | None:
    """Return the task on this line, if any. Its comm is all text after ``Comm: ``."""
    found = _TASK.fullmatch(text)
    if found is None:
        return None
    cpu, tid = int(found[1]), int(found[2])
    return Task(cpu, tid, found[3]) if cpu <= _MAX_U16 and tid <= _MAX_U32 else None


def base_name(symbol: str) -> str:
    """Return the symbol without compiler suffixes (``.isra.0``, ``.constprop.0``)."""
    return symbol.partition(".")[0]
