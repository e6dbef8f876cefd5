"""The live window stays bounded under constantly new arenas, programs, stacks and tasks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import polars as pl
import pytest

from arenatrace.analysis.live import eviction, fault_tally, retained, window
from arenatrace.analysis.live.window import LiveWindow
from arenatrace.schema import Kind, Outcome
from arenatrace.trace.follow import frame_of
from tests.data.trace_builder import KERN, USER, TraceBuilder, record_batch, sample_meta

_BOUNDS = {
    retained: {
        "MAX_FAULTS": 20,
        "MAX_NEW_OPERATIONS": 60,
        "MAX_OPERATIONS": 80,
        "MAX_INSTALLS": 15,
    },
    eviction: {"MAX_ROWS": 40, "MAX_GONE": 5, "MAX_LISTED": 12, "MAX_BYTES": 20_000},
    window: {"MAX_LOSSES": 5},
    fault_tally: {"MAX_GROUPS": 12},
}
_ROUNDS = 24
_CODE = 0xFFFF_FFFF_A000_0000


def _round(builder: TraceBuilder, number: int) -> None:
    """Add a new arena, program, stacks, symbols and task; half of them are never destroyed."""
    end = None if number % 2 else 2_000_000_000
    arena = builder.arena(kern_vm_start=KERN, user_vm_start=USER, destroy_ts_ns=end)
    code = _CODE + number * 4096
    line = {"addr": code, "file": f"/{number}.c", "line": 1, "col": 1, "text": "x" * number}
    name = f"p{number}"
    prog = builder.program(
        name, [("f", code, code + 64)], arena=arena, lines=[line], unload_ts_ns=end
    )
    comm = f"task-{number}"
    for page in range(8):
        user, stack = USER + page * 4096, builder.stack(code + page, 1000 + number * 8 + page)
        builder.symbol(1000 + number * 8 + page, f"caller_{number}_{page}")
        common = {"arena": arena, "pages": 1, "pgoff": page, "comm": comm, "stack": stack}
        builder.event(Kind.PAGE_ALLOC, ret=user, **common)
        builder.event(Kind.PAGE_FREE, addr=user, sleepable=False, **common)
        if page < 5:
            builder.event(
                Kind.KERNEL_FAULT,
                **{**common, "pages": None, "addr": KERN + (user & 0xFFFF_FFFF), "write": True},
                prog=prog,
                ip=code + page,
                outcome=int(Outcome.SCRATCH_INSTALLED),
            )
    builder.event(Kind.FREE_DRAIN, arena=arena)
    for _ in range(3):
        builder.event(Kind.KERNEL_ALLOC, arena=arena, comm=comm)
    builder.event(Kind.LOST, pages=3, ret=0)


def _row_counts(live: LiveWindow) -> Iterator[tuple[str, int]]:
    for name, value in vars(live).items():
        if isinstance(value, pl.DataFrame):
            yield name, len(value)
        elif isinstance(value, list):
            yield name, sum(len(one) for one in value)
        elif isinstance(value, dict):
            yield name, len(value)
            for key, frame in value.items():
                if isinstance(frame, pl.DataFrame):
                    yield f"{name} {key}", len(frame)
    state = live.snapshot().retained
    for one in fields(state):
        value = getattr(state, one.name)
        if isinstance(value, pl.DataFrame):
            yield f"retained {one.name}", len(value)
    groups = state.tally.groups
    yield "tally", 0 if groups is None else len(groups)


def test_window_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, bounds in _BOUNDS.items():
        for name, bound in bounds.items():
            monkeypatch.setattr(module, name, bound)
    builder, live = TraceBuilder(), LiveWindow(Path("none"), sample_meta())
    written = dict.fromkeys(builder.rows, 0)
    most: list[dict[str, int]] = [{}, {}]
    for number in range(_ROUNDS):
        _round(builder, number)
        for table in ("arenas", "programs", "stacks", "symbols", "events"):
            rows = builder.rows[table][written[table] :]
            written[table] = len(builder.rows[table])
            live.add(table, frame_of(record_batch(table, rows)))
        if live.needs_compaction:
            live.compact()
        half = most[number >= _ROUNDS * 2 // 3]
        for name, count in _row_counts(live):
            half[name] = max(half.get(name, 0), count)
    early, late = most
    grown = {name: (early.get(name), rows) for name, rows in late.items() if rows > early[name]}
    assert not grown
    # Each of them was filled, so each limit was reached.
    for name in (
        "retained installs",
        "_losses",
        "_kernel_memory",
        "tally",
        "_tables stacks",
        "_activity",
    ):
        assert late[name]
    assert late["retained installs"] == 15
    assert live.evicted["arenas"] > 0
    assert live.evicted["programs"] > 0
    assert live.totals["lost"] == 3 * _ROUNDS
    assert live.fault_count == 5 * _ROUNDS
