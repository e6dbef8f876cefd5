"""Eviction from the tables of a live recording: limits, and rows that must stay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from arenatrace.analysis.live import eviction
from arenatrace.analysis.live.eviction import retained_rows
from arenatrace.analysis.live.window import LiveWindow
from arenatrace.schema import Kind
from arenatrace.trace.follow import frame_of
from arenatrace.trace.polars_schema import polars_schema
from tests.data.trace_builder import USER, TraceBuilder, record_batch, sample_meta

_EVENTS = polars_schema("events")


def _rows(table: str, rows: list[dict[str, object]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=polars_schema(table))


@pytest.mark.parametrize(
    ("table", "key", "gone"),
    [("arenas", "arena", "destroy_ts_ns"), ("programs", "prog", "unload_ts_ns")],
)
def test_destroyed_objects_are_evicted_unless_a_fault_references_them(
    table: str, key: str, gone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eviction, "MAX_GONE", 10)
    existing: list[dict[str, object]] = [{key: number} for number in range(100, 150)]
    destroyed: list[dict[str, object]] = [{key: number, gone: number} for number in range(100)]
    rows = _rows(table, [*destroyed, *existing])
    faults = pl.DataFrame([{key: 3}], schema=_EVENTS)
    left = retained_rows(table, {table: rows}, faults)[key].to_list()
    assert left == [3, *range(90, 150)]
    few = rows.tail(70)
    assert retained_rows(table, {table: few}, faults).equals(few)


def test_stacks_and_symbols_of_faults_are_retained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eviction, "MAX_ROWS", 20)
    stacks = _rows("stacks", [{"stack": n, "frames": [n, 1000]} for n in range(40)])
    symbols = _rows("symbols", [{"ts_ns": 0, "addr": n} for n in [*range(60), 1000]])
    faults = pl.DataFrame([{"stack": 2, "ip": 7}], schema=_EVENTS)
    left = retained_rows("stacks", {"stacks": stacks}, faults)
    assert left["stack"].to_list() == [2, *range(30, 40)]
    named = retained_rows("symbols", {"stacks": left, "symbols": symbols}, faults)
    assert named["addr"].to_list() == [2, 7, *range(30, 40), *range(51, 60), 1000]


def test_evicted_arenas_and_their_operations_stay_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(eviction, "MAX_GONE", 2)
    live = LiveWindow(Path("none"), sample_meta())
    for number in range(20):
        live.add("arenas", _rows("arenas", [{"arena": number, "create_ts_ns": number}]))
        event = {"ts_ns": number, "seq": number, "kind": 1, "arena": number, "ret": 1}
        live.add("events", pl.DataFrame([event], schema=_EVENTS))
        live.add("arenas", _rows("arenas", [{"arena": number, "destroy_ts_ns": number + 1}]))
    listed = live.table("arenas")["arena"].to_list()
    assert len(listed) <= 5
    assert live.evicted["arenas"] == 20 - len(listed)
    assert len(live.activity) <= 8
    assert live.activity["events"].sum() == 20


@pytest.mark.parametrize("table", ["arenas", "programs"])
def test_existing_objects_are_bounded_too(table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recorder that misses unloads would otherwise list those programs forever."""
    monkeypatch.setattr(eviction, "MAX_LISTED", 40)
    key = {"arenas": "arena", "programs": "prog"}[table]
    rows = _rows(table, [{key: number} for number in range(50)])
    left = retained_rows(table, {table: rows}, pl.DataFrame([{key: 3}], schema=_EVENTS))
    assert left[key].to_list() == [3, *range(31, 50)]


def test_line_tables_are_bounded_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eviction, "MAX_BYTES", 100_000)
    line = {"addr": 0, "file": "x" * 100, "line": 1, "col": 1, "text": "y" * 100}
    rows = _rows(
        "programs",
        [
            {"prog": number, "lines": [line] * 20, "unload_ts_ns": None if number == 1 else number}
            for number in range(30)
        ],
    )
    left = retained_rows(
        "programs", {"programs": rows}, pl.DataFrame([{"prog": 5}], schema=_EVENTS)
    )
    assert {1, 5, 29} <= set(left["prog"])
    assert 4 <= len(left) <= 50_000 // (20 * 200)
    assert left["prog"].to_list() == sorted(left["prog"])


def test_stacks_of_explaining_operations_are_retained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before and after compaction, and under a flood of new stacks."""
    monkeypatch.setattr(eviction, "MAX_ROWS", 10)
    builder = TraceBuilder()
    arena = builder.arena()
    alloc, free, fault = (builder.stack(address) for address in (100, 200, 300))
    builder.event(Kind.PAGE_ALLOC, arena=arena, pages=1, ret=USER + 4096, pgoff=1, stack=alloc)
    builder.event(
        Kind.PAGE_FREE, arena=arena, pages=1, addr=USER + 4096, pgoff=1, sleepable=True, stack=free
    )
    live = LiveWindow(Path("none"), sample_meta())

    def add(table: str, rows: list[dict[str, Any]]) -> None:
        live.add(table, frame_of(record_batch(table, rows)))

    def flood(first: int) -> None:
        for number in range(first, first + 50):
            add("stacks", [{"stack": number, "frames": [number]}])
        found = set(live.table("stacks")["stack"])
        assert {alloc, free} <= found
        assert len(found) <= 10 + 3

    for table in ("arenas", "stacks", "events"):
        add(table, builder.rows[table])
    flood(1000)
    add("stacks", [{"stack": fault, "frames": [300]}])
    builder.prog_fault(arena=arena, pgoff=1, stack=fault)
    add("events", builder.rows["events"][2:])
    live.compact()
    flood(2000)
    assert fault in live.table("stacks")["stack"]
    assert live.evicted["stacks"] == 0
    monkeypatch.setattr(eviction, "MAX_BYTES", 20)
    add("stacks", [{"stack": 3000, "frames": [1]}])
    assert live.evicted["stacks"] >= 2


def test_activity_of_unlisted_arenas_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(eviction, "MAX_LISTED", 5)
    live = LiveWindow(Path("none"), sample_meta())
    for number in range(100):
        event = {"ts_ns": number, "seq": number, "kind": 1, "arena": number, "ret": 1}
        live.add("events", pl.DataFrame([event], schema=_EVENTS))
    assert len(live.activity) <= 11
    assert live.activity["events"].sum() == 100


def test_task_names_are_strings_not_categoricals() -> None:
    live = LiveWindow(Path("none"), sample_meta())
    row = {"ts_ns": 1, "seq": 1, "kind": int(Kind.PAGE_ALLOC), "arena": 0, "comm": "a-task"}
    live.add("events", frame_of(record_batch("events", [row])))
    live.add("events", pl.DataFrame([{**row, "kind": int(Kind.PROG_FAULT)}], schema=_EVENTS))
    now = live.snapshot()
    for frame in (*now.new_operations, now.new_faults, now.retained.recent, *now.related):
        assert frame.schema["comm"] == pl.String
    assert now.new_faults["comm"].to_list() == ["a-task"]
