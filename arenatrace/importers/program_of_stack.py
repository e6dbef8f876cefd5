"""Which program do the BPF frames of a stack belong to?

A frame names its function by the function's own tag. Subprograms are called by their program,
so in a row of BPF frames the outermost is the main program. Two things come in between: kernel
functions that call a subprogram back before they return, and those that call it much later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from arenatrace.importers.reports.frames import base_name
from arenatrace.importers.reports.records import Frame

#: Helpers and kfuncs that call a subprogram of their caller.
_CALL_BACK = frozenset(
    {
        "bpf_loop",
        "bpf_for_each_map_elem",
        "bpf_for_each_array_elem",
        "bpf_for_each_hash_elem",
        "bpf_find_vma",
        "bpf_user_ringbuf_drain",
        "bpf_rbtree_add_impl",
        "bpf_rbtree_add",
        "__bpf_rbtree_add",
    }
)

#: Kernel functions that run a subprogram on their own: its program is not on the stack.
_CALL_LATER = frozenset(
    {
        "bpf_timer_cb",
        "bpf_wq_work",
        "bpf_task_work_callback",
        "bpf_task_work_irq",
    }
)


@dataclass(frozen=True, slots=True)
class Program:
    """A program as its main function names it; both are None if that is not on the stack.

    ``part`` is then the function that is, so that it can be told from others.
    """

    tag: str | None
    name: str | None
    part: str = ""


def programs_on_stack(frames: Sequence[Frame], blamed: str | None) -> dict[int, Program]:
    """The program of each BPF frame, by the frame's position.

    ``blamed`` is the name of the program the kernel reported to, if the text tells it: that
    of the innermost BPF frame, as ``bpf_prog_find_from_stack`` finds it.
    """
    found: dict[int, Program] = {}
    row: list[int] = []
    called_back = False
    for at, frame in enumerate([*frames, _END]):
        caller = base_name(frame.symbol)
        if frame.bpf is not None:
            row.append(at)
            called_back = False
        elif row and caller in _CALL_BACK:
            called_back = True
        elif row:
            whole = frame is not _END and not called_back and caller not in _CALL_LATER
            program = _program(frames[row[-1]], blamed if not found else None, whole=whole)
            found |= dict.fromkeys(row, program)
            row, called_back = [], False
    return found


#: Stands for what is beyond the outermost frame.
_END = Frame("")


def _program(outermost: Frame, blamed: str | None, *, whole: bool) -> Program:
    tag, name = outermost.bpf or ("", "")
    if not whole:
        # Cut off, or called by the kernel later: this may well be a subprogram.
        return Program(None, blamed, outermost.symbol)
    return Program(tag, name or None)
