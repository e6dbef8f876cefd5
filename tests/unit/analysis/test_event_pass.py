"""One batched pass over the events gives the result of the whole history."""

from __future__ import annotations

import random
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from arenatrace.analysis.pages import event_pass, neighbour_states, operations, page_set
from arenatrace.analysis.pages.neighbours import near_allocations, near_targets
from arenatrace.analysis.pages.operations import Op
from arenatrace.analysis.pages.page_set import PageSet
from arenatrace.schema import PAGE_SIZE, Kind, Outcome
from arenatrace.trace.arrow_schema import arrow_schema

_ARENAS = 3
_PAGES = 40
_USER = 0x7F00_0000_0000
_KINDS = (
    *(Kind.PAGE_ALLOC, Kind.PAGE_ALLOC, Kind.PAGE_FREE, Kind.PAGE_FREE),
    *(Kind.FREE_DRAIN, Kind.PAGE_RESERVE, Kind.USER_FAULT, Kind.ARENA_MMAP),
)


def _event(dice: random.Random, seq: int, ts_ns: int) -> dict[str, Any]:
    """Return a random operation on random pages, with a random result."""
    kind = dice.choice(_KINDS)
    pages = dice.choice([1, 1, 1, 2, 5, None, 0])
    row: dict[str, Any] = {
        "ts_ns": ts_ns,
        "seq": seq,
        "kind": int(kind),
        "arena": dice.choice([*range(_ARENAS), None]),
        "pid": dice.choice([1, None]),
        "tid": seq,
        "comm": dice.choice(["a", "b", None]),
    }
    if kind == Kind.FREE_DRAIN:
        return row
    row |= {"pgoff": dice.choice([*range(_PAGES), None]), "pages": pages}
    if kind == Kind.PAGE_ALLOC:
        row["ret"] = dice.choice([0, _USER, _USER, None])
    elif kind == Kind.PAGE_FREE:
        row["sleepable"] = dice.choice([True, False, None])
    elif kind == Kind.PAGE_RESERVE:
        row |= {"ret": dice.choice([0, 0, -16]), "addr": _USER + dice.choice([0, 0, 8])}
    elif kind == Kind.USER_FAULT:
        row["outcome"] = int(dice.choice([Outcome.MAPPED, Outcome.SIGSEGV]))
    return row


def _history(seed: int, *, ordered: bool) -> tuple[pl.LazyFrame, pl.DataFrame]:
    """Return random events and faults; several may have the same time."""
    dice = random.Random(seed)  # noqa: S311 -- the same history in every run
    rows, faults, ts_ns = [], [], 0
    for seq in range(300):
        ts_ns += dice.choice([0, 1, 1, 7]) if ordered else dice.choice([-3, 0, 1, 1, 7])
        if dice.random() < 0.1:
            page = dice.randrange(_PAGES + 9)
            faults.append((ts_ns, seq, dice.randrange(_ARENAS), page, dice.randrange(PAGE_SIZE)))
        else:
            rows.append(_event(dice, seq, ts_ns))
    events = pl.from_arrow(pa.Table.from_pylist(rows, schema=arrow_schema("events")))
    assert isinstance(events, pl.DataFrame)
    faulted = pl.DataFrame(
        faults,
        schema={
            "ts_ns": pl.Int64,
            "seq": pl.UInt64,
            "arena": pl.UInt32,
            "page": pl.UInt32,
            "offset": pl.UInt16,
        },
        orient="row",
    )
    return events.lazy(), faulted.with_row_index("fault", offset=1)


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("table", ["direct entries", "shared entries"])
@pytest.mark.parametrize("seed", range(5))
def test_one_pass_gives_the_neighbours_of_the_whole_history(
    seed: int, table: str, ordered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small batches carry every state over; disorder starts a second pass."""
    monkeypatch.setattr(operations, "_BATCH_ROWS", 16)
    monkeypatch.setattr(neighbour_states, "_MAX_CANDIDATES", 8)
    if table == "shared entries":
        monkeypatch.setattr(page_set, "_MAX_ENTRIES", 16)
    events, faults = _history(seed, ordered=ordered)
    arenas = pl.DataFrame(
        {"arena": range(_ARENAS), "max_entries": [_PAGES] * _ARENAS},
        schema={"arena": pl.UInt32, "max_entries": pl.UInt32},
    )
    targets = near_targets(faults, arenas)
    pages = faults.select("arena", "page")
    own, near = event_pass.page_pass(events, pages, targets)

    in_order = events.sort("ts_ns", "seq")
    everything = operations.page_operations(in_order, targets.select("arena", page="near").unique())
    assert near_allocations(targets, near).equals(near_allocations(targets, everything))
    assert own.equals(operations.page_operations(in_order, pages))
    assert len(own) > 10
    assert near["op"].n_unique() > 2


def test_misaligned_reservation_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Misaligned addresses are read in a query of their own."""
    monkeypatch.setattr(operations, "_BATCH_ROWS", 1)
    rows = [
        {"ts_ns": at, "seq": at, "kind": int(Kind.PAGE_RESERVE), "arena": 0, "pgoff": 4, "pages": 1}
        | {"ret": 0, "addr": _USER + low}
        for at, low in ((1, 0), (2, 8), (3, PAGE_SIZE))
    ]
    events = pl.from_arrow(pa.Table.from_pylist(rows, schema=arrow_schema("events")))
    assert isinstance(events, pl.DataFrame)
    page = pl.DataFrame({"arena": [0], "page": [4]})
    done = operations.page_operations(events.lazy(), page)
    assert done["ts_ns"].to_list() == [1, 3]
    assert done["op"].to_list() == [int(Op.RESERVE)] * 2


@pytest.mark.parametrize("most", [1 << 22, 4])
def test_page_set_at_the_limits_of_32_bits(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A range does not wrap into the next arena."""
    monkeypatch.setattr(page_set, "_MAX_ENTRIES", most)
    end = (1 << 32) - 1
    keys = pl.DataFrame(
        {"arena": [0, 0, 1, end, None, 7], "page": [0, end, 0, end, 3, None]},
        schema={"arena": pl.UInt32, "page": pl.UInt32},
    )
    found = PageSet(keys)
    rows = pl.DataFrame(
        {
            "arena": [0, 0, 1, end, 2, None, 1],
            "pgoff": [0, end, 0, end - 1, 0, 0, 1],
            "pages": [1, end, 1, 4, 1, 1, 3],
        },
        schema={"arena": pl.UInt32, "pgoff": pl.UInt32, "pages": pl.UInt32},
    )
    row, page = found.explode(rows.drop_nulls())
    assert list(zip(row.tolist(), page.tolist(), strict=True)) == [(0, 0), (1, 1), (2, 2), (3, 3)]
    passed = rows.with_row_index("row").filter(found.prefilter(always=pl.lit(value=False)))
    assert set(passed["row"]) >= {0, 1, 2, 3}
    assert 5 not in passed["row"]
