"""Parser of oopses: arena faults from which the kernel did not recover.

The text is printed by ``show_fault_oops`` (``arch/x86/mm/fault.c``) and ``__die_body``. Only x86-64
is supported.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from arenatrace.importers.reports.arena_address import arena_address
from arenatrace.importers.reports.frames import parse_frame
from arenatrace.importers.reports.records import Fault, Frame, OtherReport, Task

HEADER = re.compile(
    r"BUG: unable to handle (?:page fault for address: |kernel paging request at )"
    r"(?P<kaddr>[0-9a-f]{16})"
)
END = re.compile(r"---\[ end (?:trace|Kernel panic)")

#: Limit for an oops without an end line; a complete oops has about 60 lines.
MAX_LINES = 400

_ERROR_CODE = re.compile(r"#PF: error_code\(0x([0-9a-f]{1,8})\)")
_TASK = re.compile(
    r"\s*CPU: (\d{1,5}) (?:UID: \d{1,10} )?PID: (\d{1,10}) Comm: (.{0,15}) "
    r"(?:Tainted: [A-Z ]+?|Not tainted) +(\S+) #",
    re.ASCII,
)
_IP = re.compile(r"\s*RIP: 0010:(.*)")
_REGISTER = re.compile(r"\b(R[A-Z0-9]{1,2}): ?([0-9a-f]{16})\b")
_TRACE = re.compile(r"\s*Call Trace:")
_TRACE_END = re.compile(r"\s*</TASK>|\s*RIP: 0033:|\s*Modules linked in:|\s*Code:")

#: Bits of the x86 page fault error code.
_PRESENT, _WRITE, _USER = 1, 2, 4
_MAX_U16, _MAX_U32 = 0xFFFF, 0xFFFFFFFF
#: Kernel addresses have the highest bit set.
_KERNEL_HALF = 1 << 63


def parse(header: re.Match[str], lines: Sequence[str], blamed: str | None) -> Fault | OtherReport:
    """Parse the oops after ``header``; return a fault if it can be an arena fault.

    An oops can be an arena fault if the page was not present, the address is a kernel address and
    a BPF program is on the stack. Only registers can prove the arena (``arena_address``).
    """
    kaddr = int(header["kaddr"], 16)
    frames, has_ip = _frames(lines)
    error_code = _error_code(lines)
    if error_code is not None and error_code & (_PRESENT | _USER):
        return OtherReport("a kernel oops that is not a missing page")
    if kaddr < _KERNEL_HALF or not any(frame.bpf for frame in frames):
        return OtherReport("a kernel oops without a BPF program at fault")
    task, kernel = _task(lines)
    return Fault(
        kernel_side=True,
        oops=True,
        write=None if error_code is None else bool(error_code & _WRITE),
        frames=frames,
        has_ip=has_ip,
        complete=any(END.search(line) for line in lines),
        task=task,
        kaddr=kaddr,
        error_code=error_code,
        arena_address=arena_address(kaddr, _registers(lines)),
        blamed=blamed,
        kernel=kernel,
    )


def _error_code(lines: Sequence[str]) -> int | None:
    for line in lines:
        if found := _ERROR_CODE.search(line):
            return int(found[1], 16)
    return None


def _task(lines: Sequence[str]) -> tuple[Task | None, str | None]:
    for line in lines:
        if found := _TASK.match(line):
            cpu, tid = int(found[1]), int(found[2])
            known = cpu <= _MAX_U16 and tid <= _MAX_U32
            return Task(cpu, tid, found[3]) if known else None, found[4]
    return None, None


def _frames(lines: Sequence[str]) -> tuple[tuple[Frame, ...], bool]:
    """Return the frames, faulting instruction first if known, and whether it is known."""
    frames: list[Frame] = []
    has_ip, in_trace = False, False
    for line in lines:
        if not frames and not in_trace and (found := _IP.match(line)):
            frame = parse_frame(found[1])
            has_ip = frame is not None
            frames += [frame] if frame else []
        elif _TRACE.match(line):
            if in_trace:
                break
            in_trace = True
        elif in_trace and _TRACE_END.match(line):
            break
        elif in_trace and (frame := parse_frame(line)):
            frames.append(frame)
    return tuple(frames), has_ip


def _registers(lines: Sequence[str]) -> dict[str, int]:
    """Return the registers at the fault: the first value of each register before the call trace."""
    registers: dict[str, int] = {}
    for line in lines:
        if _TRACE.match(line):
            break
        for name, value in _REGISTER.findall(line):
            registers.setdefault(name, int(value, 16))
    return registers
