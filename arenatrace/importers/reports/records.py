"""What the text formats have in common: what a report says once it is understood."""

from __future__ import annotations

import re
from dataclasses import dataclass

#: How the kernel names JITed code in kallsyms (``bpf_get_prog_name``).
_BPF_SYMBOL = re.compile(r"bpf_prog_([0-9a-f]{16})(?:_(.+))?")


@dataclass(frozen=True, slots=True)
class Source:
    """The source line the kernel printed below a frame of a BPF function."""

    file: str
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Frame:
    """One line of a call trace: ``symbol+offset/size [module]``, all in bytes.

    Where the kernel had no symbol it prints the bare ``address``, and ``symbol`` is empty.
    """

    symbol: str
    offset: int = 0
    size: int = 0
    module: str | None = None
    address: int | None = None
    source: Source | None = None

    @property
    def bpf(self) -> tuple[str, str] | None:
        """Tag and function name if this is JITed BPF code; the name may be empty."""
        if not self.symbol.startswith("bpf_prog_"):
            return None
        found = _BPF_SYMBOL.fullmatch(self.symbol)
        return (found[1], found[2] or "") if found else None


@dataclass(frozen=True, slots=True)
class Stamp:
    """The time in front of a line, in ns since boot or, if ``wall``, since 1970."""

    ns: int
    wall: bool


def stamp(ns: int, *, wall: bool) -> Stamp | None:
    """The time, None for one that no column holds: a clock or a text that went wrong."""
    return Stamp(ns, wall) if 0 <= ns < 1 << 63 else None


@dataclass(frozen=True, slots=True)
class Task:
    """The ``CPU: .. PID: .. Comm: ..`` line; what it calls PID is a thread id."""

    cpu: int
    tid: int
    comm: str


@dataclass(frozen=True, slots=True)
class ArenaPlace:
    """What an oops' registers tell: the arena's kern_vm_start and the user address meant."""

    kern_vm_start: int
    uaddr: int | None


@dataclass(frozen=True, slots=True)
class Fault:
    """One arena fault as a text tells it; None is what the text does not say.

    ``frames`` begin with the faulting instruction if ``has_ip``. ``blamed`` is the program
    the kernel reported to, where the text names it apart from the stack. ``complete`` is false
    if the report breaks off.
    """

    kernel_side: bool
    oops: bool
    write: bool | None
    frames: tuple[Frame, ...]
    has_ip: bool
    complete: bool = True
    task: Task | None = None
    uaddr: int | None = None
    kaddr: int | None = None
    error_code: int | None = None
    place: ArenaPlace | None = None
    blamed: str | None = None
    kernel: str | None = None


@dataclass(frozen=True, slots=True)
class Note:
    """A report that is no arena fault, or not a whole one.

    ``lost`` says that it was an arena fault, but too little of it is left for a row.
    """

    what: str
    program: str | None = None
    lost: bool = False
