"""Notes with defaults, for tests that care about a few of their members."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from arenatrace.capture.ring.notes import ArenaNote, FaultStackNote, ProgNote

#: An arena's pointer, its vm area's address and the start of a program's code.
PTR = 0xFFFF_8881_0000_0000
KERN_VM = 0xFFFF_C900_0000_0000
START = 0xFFFF_FFFF_C000_1000
AUX = 0xFFFF_C900_0BAD_0000
TAG = "0123456789abcdef"

_ARENA = ArenaNote(
    ts_ns=0,
    ptr=PTR,
    kern_vm_addr=KERN_VM,
    user_vm_start=0,
    user_vm_end=0,
    max_entries=16,
    map_flags=0x400,
    id=0,
    name="arena",
    preexisting=False,
)
_PROG = ProgNote(
    ts_ns=0,
    key=AUX,
    start=START,
    end=START + 0x100,
    arena=0,
    id=5,
    type=31,
    func_cnt=1,
    nr_linfo=0,
    btf_id=7,
    tag=TAG,
    name="fifteen_letters",
    ksym=f"bpf_prog_{TAG}_fifteen_letters_and_more",
    preexisting=False,
)
_STACK = FaultStackNote(
    ts_ns=0,
    cpu=1,
    tid=2,
    start=START,
    end=START + 0x100,
    arena=0,
    id=5,
    tag=TAG,
    name="fifteen_letters",
    frames=(),
)


def arena_note(ts_ns: int, **changes: int | str | bool) -> ArenaNote:
    """What the probes say of an arena at ``ts_ns``."""
    return replace(_ARENA, ts_ns=ts_ns, **changes)  # type: ignore[arg-type]


def prog_note(ts_ns: int, **changes: int | str | bool) -> ProgNote:
    """What the probes say of a program at ``ts_ns``."""
    return replace(_PROG, ts_ns=ts_ns, **changes)  # type: ignore[arg-type]


def stack_note(ts_ns: int = 0, **changes: int | str | tuple[int, ...]) -> FaultStackNote:
    """A fault's stack and the program blamed for it."""
    return replace(_STACK, ts_ns=ts_ns, **changes)  # type: ignore[arg-type]


def merged(rows: list[dict[str, Any]], key: str) -> dict[int, dict[str, Any]]:
    """Rows of one key as the trace merges them: the last value that is not null."""
    table: dict[int, dict[str, Any]] = {}
    for row in rows:
        known = table.setdefault(row[key], {})
        known.update({name: value for name, value in row.items() if value is not None})
    return table
