"""Parsed reports, common to all text formats."""

from __future__ import annotations

import re
from dataclasses import dataclass

#: Symbol of JITed code in kallsyms (``bpf_get_prog_name``).
_BPF_SYMBOL = re.compile(r"bpf_prog_([0-9a-f]{16})(?:_(.+))?")


@dataclass(frozen=True, slots=True)
class Source:
    """Source line that the kernel prints below a frame of a BPF function."""

    file: str
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Frame:
    """One line of a call trace: ``symbol+offset/size [module]``, in bytes.

    Without a symbol the kernel prints the bare ``address``; ``symbol`` is empty then.
    """

    symbol: str
    offset: int = 0
    size: int = 0
    module: str | None = None
    address: int | None = None
    source: Source | None = None

    @property
    def bpf(self) -> tuple[str, str] | None:
        """Tag and function name of JITed BPF code, else None; the name may be empty."""
        if not self.symbol.startswith("bpf_prog_"):
            return None
        found = _BPF_SYMBOL.fullmatch(self.symbol)
        return (found[1], found[2] or "") if found else None


@dataclass(frozen=True, slots=True)
class Stamp:
    """Timestamp of a line, in ns since boot or, if ``wall``, since 1970."""

    ns: int
    wall: bool


def stamp(ns: int, *, wall: bool) -> Stamp | None:
    """Return the timestamp, None if it is out of the column's range."""
    return Stamp(ns, wall) if 0 <= ns < 1 << 63 else None


@dataclass(frozen=True, slots=True)
class Task:
    """The ``CPU: .. PID: .. Comm: ..`` line; its PID is a thread id."""

    cpu: int
    tid: int
    comm: str


@dataclass(frozen=True, slots=True)
class ArenaAddress:
    """kern_vm_start and user address derived from the registers of an oops."""

    kern_vm_start: int
    uaddr: int | None


@dataclass(frozen=True, slots=True)
class Fault:
    """One arena fault from a text; a value that the text lacks is None.

    ``frames`` begins with the faulting instruction if ``has_ip``. ``blamed`` is the name of the
    blamed program if the text has it outside the stack. ``complete`` is False if the report is
    truncated.
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
    arena_address: ArenaAddress | None = None
    blamed: str | None = None
    kernel: str | None = None


@dataclass(frozen=True, slots=True)
class OtherReport:
    """Report that is not an arena fault, or an incomplete arena fault (``lost``)."""

    description: str
    program: str | None = None
    lost: bool = False
