"""Program of each BPF frame of a stack.

A frame has the tag of its function, not of its program. The main program calls its subprograms,
so the outermost of consecutive BPF frames is the main program. There are two exceptions: kernel
functions that call back a subprogram before they return, and kernel functions that run it later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from arenatrace.importers.reports.frames import base_name
from arenatrace.importers.reports.records import Frame

#: Helpers and kfuncs that call back a subprogram of their caller.
_SYNC_CALLBACKS = frozenset(
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

#: Kernel functions that run a subprogram asynchronously: the main program is not on the stack.
_ASYNC_CALLBACKS = frozenset(
    {
        "bpf_timer_cb",
        "bpf_wq_work",
        "bpf_task_work_callback",
        "bpf_task_work_irq",
    }
)


@dataclass(frozen=True, slots=True)
class Program:
    """Tag and name of a program's main function, None if that is not on the stack.

    ``part`` is then the symbol of the outermost function found, to distinguish programs.
    """

    tag: str | None
    name: str | None
    part: str = ""


def programs_on_stack(frames: Sequence[Frame], blamed: str | None) -> dict[int, Program]:
    """Return the program of each BPF frame by the frame's index.

    ``blamed`` is the name of the blamed program if the text has it. The kernel blames the
    program of the innermost BPF frame (``bpf_prog_find_from_stack``).
    """
    found: dict[int, Program] = {}
    run: list[int] = []
    called_back = False
    for at, frame in enumerate([*frames, _END]):
        caller = base_name(frame.symbol)
        if frame.bpf is not None:
            run.append(at)
            called_back = False
        elif run and caller in _SYNC_CALLBACKS:
            called_back = True
        elif run:
            has_main = frame is not _END and not called_back and caller not in _ASYNC_CALLBACKS
            program = _program(frames[run[-1]], blamed if not found else None, has_main=has_main)
            found |= dict.fromkeys(run, program)
            run, called_back = [], False
    return found


#: Sentinel after the outermost frame.
_END = Frame("")


def _program(outermost: Frame, blamed: str | None, *, has_main: bool) -> Program:
    tag, name = outermost.bpf or ("", "")
    if not has_main:
        # The stack is truncated or an asynchronous callback: this may be a subprogram.
        return Program(None, blamed, outermost.symbol)
    return Program(tag, name or None)
