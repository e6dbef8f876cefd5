"""Parser of a BPF program's stderr stream (``bpftool prog tracelog stderr``).

The kernel writes it in ``__bpf_prog_report_arena_violation`` (``kernel/bpf/arena.c``),
``bpf_prog_report_may_goto_violation`` (``core.c``), ``bpf_prog_report_rqspinlock_violation``
(``rqspinlock.c``) and ``bpf_stream_stage_dump_stack`` (``stream.c``); arena ASAN is BPF code
that writes to the same stream.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from enum import Enum, auto
from functools import lru_cache

from arenatrace.importers.reports.frames import ROOTS, base_name, parse_frame, parse_task
from arenatrace.importers.reports.records import Fault, Frame, OtherReport, Source, Task

HEADER = re.compile(
    r"ERROR: Arena (?P<access>READ|WRITE) access at unmapped address 0x(?P<uaddr>[0-9a-f]{1,16})"
    r"|ERROR: (?P<goto>Timeout detected for may_goto instruction)"
    r"|ERROR: (?P<lock>AA or ABBA deadlock|Timeout) detected for bpf_res_spin_lock(?:_irqsave)?"
    r"|Memory violation for address \S{1,40}(?: \(0x[0-9a-f]+\))?"
    r"(?: for (?P<asan>read|write) of size (?P<size>-?\d+))?"
)

#: Maximum line length in characters. The kernel formats a frame and its source line into 1024
#: bytes (MAX_BPRINTF_BUF).
MAX_LINE = 4096

#: Function that writes arena reports. It is on the stack that it prints.
REPORTER = "__bpf_prog_report_arena_violation"

_SOURCE = re.compile(r"\s*(.*?)\s* @ (.+):(\d{1,9})\s*", re.ASCII)
_LOCK_LINE = re.compile(r"(?:Attempted lock|Total held locks|Held lock\[ ?\d+\]) += \w+\s*")
_TRACE = re.compile(r"\s*Call trace:\s*")

#: Functions on the path from a fault to its report, for one side only.
_KERNEL_SIDE = frozenset({"bpf_arena_handle_page_fault", "page_fault_oops", "__do_kernel_fault"})
_PROG_SIDE = frozenset({"ex_handler_bpf", "bpf_prog_report_arena_violation", "fixup_exception"})
#: Exception entry points: the next frame is the faulting instruction.
_ENTRIES = frozenset({"asm_exc_page_fault", "el1h_64_sync"})


class LineKind(Enum):
    """Kind of a line in a report."""

    HEADER = auto()
    LOCK = auto()
    TASK = auto()
    TRACE = auto()
    FRAME = auto()
    SOURCE = auto()


def line_kind(text: str, *, below_bpf_frame: bool) -> LineKind | None:
    """Return the kind of a report line, None if it is not one.

    The program's author controls source lines. A source line is accepted only below a BPF frame.
    There it takes precedence over every other kind.
    """
    if len(text) > MAX_LINE:
        return None
    if below_bpf_frame and _SOURCE.fullmatch(text):
        return LineKind.SOURCE
    return _plain_kind(text)


@lru_cache(maxsize=16384)
def _plain_kind(text: str) -> LineKind | None:
    if parse_frame(text):
        return LineKind.FRAME
    if parse_task(text):
        return LineKind.TASK
    if _TRACE.fullmatch(text):
        return LineKind.TRACE
    return LineKind.LOCK if _LOCK_LINE.fullmatch(text) else None


def parse_source(text: str) -> Source | None:
    """Return the source line on this line, None if there is none."""
    found = _SOURCE.fullmatch(text)
    return Source(found[2], int(found[3]), found[1]) if found else None


def parse(
    header: re.Match[str], lines: Sequence[tuple[LineKind, str]], blamed: str | None
) -> Fault | OtherReport:
    """Parse the report with this header and these lines."""
    task, frames = _task(lines), _frames(lines)
    if header["access"] is None:
        return OtherReport(_other(header), blamed or _program(frames))
    kernel_side = _kernel_side(frames, int(header["uaddr"], 16))
    if kernel_side is None:
        return OtherReport("a report is truncated before the faulting frame", blamed, lost=True)
    stack, has_ip = _from_fault_on(frames, kernel_side=kernel_side)
    return Fault(
        kernel_side=kernel_side,
        oops=False,
        write=header["access"] == "WRITE",
        frames=stack,
        has_ip=has_ip,
        complete=bool(frames) and frames[-1].symbol in ROOTS,
        task=task,
        uaddr=int(header["uaddr"], 16),
        blamed=blamed,
    )


def _task(lines: Sequence[tuple[LineKind, str]]) -> Task | None:
    for kind, text in lines:
        if kind is LineKind.TASK:
            return parse_task(text)
    return None


def _frames(lines: Sequence[tuple[LineKind, str]]) -> list[Frame]:
    frames: list[Frame] = []
    for kind, text in lines:
        if kind is LineKind.FRAME and (frame := parse_frame(text)):
            frames.append(frame)
        elif kind is LineKind.SOURCE and frames:
            frames[-1] = replace(frames[-1], source=parse_source(text))
    return frames


def _other(header: re.Match[str]) -> str:
    if header["goto"]:
        return "may_goto timeout"
    if header["lock"]:
        event = "timeout" if header["lock"] == "Timeout" else "deadlock"
        return f"bpf_res_spin_lock {event}"
    access = f", {header['asan']} of size {header['size']}" if header["asan"] else ""
    return f"arena ASAN memory violation{access}"


def _program(frames: list[Frame]) -> str | None:
    return next((frame.bpf[1] or None for frame in frames if frame.bpf), None)


def _kernel_side(frames: list[Frame], uaddr: int) -> bool | None:
    names = {base_name(frame.symbol) for frame in frames}
    if names & _KERNEL_SIDE:
        return True
    # The handler of kernel-side faults rounds addresses down to the page.
    if names & _PROG_SIDE or uaddr % 4096:
        return False
    return None


def _from_fault_on(frames: list[Frame], *, kernel_side: bool) -> tuple[tuple[Frame, ...], bool]:
    """Return the frames from the fault on, and whether the first is the faulting instruction."""
    for at, frame in enumerate(frames):
        if base_name(frame.symbol) in _ENTRIES:
            return tuple(frames[at + 1 :]), at + 1 < len(frames)
    handlers = _KERNEL_SIDE if kernel_side else _PROG_SIDE
    last = max((i for i, f in enumerate(frames) if base_name(f.symbol) in handlers), default=-1)
    return tuple(frames[last + 1 :]), False
