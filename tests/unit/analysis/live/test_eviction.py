"""Tables of a recording under way stay bounded, and what is needed stays in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from arenatrace.analysis.live import eviction as rule
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
def test_what_is_gone_is_let_go_but_not_what_a_fault_is_about(
    table: str, key: str, gone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rule, "MAX_GONE", 10)
    there: list[dict[str, object]] = [{key: number} for number in range(100, 150)]
    left: list[dict[str, object]] = [{key: number, gone: number} for number in range(100)]
    rows = _rows(table, [*left, *there])
    faults = pl.DataFrame([{key: 3}], schema=_EVENTS)
    kept = retained_rows(table, {table: rows}, faults)[key].to_list()
    assert kept == [3, *range(90, 150)]
    few = rows.tail(70)
    assert retained_rows(table, {table: few}, faults).equals(few)


def test_stacks_and_symbols_of_faults_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rule, "MAX_ROWS", 20)
    stacks = _rows("stacks", [{"stack": n, "frames": [n, 1000]} for n in range(40)])
    symbols = _rows("symbols", [{"ts_ns": 0, "addr": n} for n in [*range(60), 1000]])
    faults = pl.DataFrame([{"stack": 2, "ip": 7}], schema=_EVENTS)
    kept = retained_rows("stacks", {"stacks": stacks}, faults)
    assert kept["stack"].to_list() == [2, *range(30, 40)]
    named = retained_rows("symbols", {"stacks": kept, "symbols": symbols}, faults)
    assert named["addr"].to_list() == [2, 7, *range(30, 40), *range(51, 60), 1000]


def test_what_is_not_listed_is_counted_and_its_operations_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rule, "MAX_GONE", 2)
    recent = LiveWindow(Path("none"), sample_meta())
    for number in range(20):
        recent.add("arenas", _rows("arenas", [{"arena": number, "create_ts_ns": number}]))
        event = {"ts_ns": number, "seq": number, "kind": 1, "arena": number, "ret": 1}
        recent.add("events", pl.DataFrame([event], schema=_EVENTS))
        recent.add("arenas", _rows("arenas", [{"arena": number, "destroy_ts_ns": number + 1}]))
    listed = recent.table("arenas")["arena"].to_list()
    assert len(listed) <= 5
    assert recent.evicted["arenas"] == 20 - len(listed)
    assert len(recent.activity) <= 8
    assert recent.activity["events"].sum() == 20


@pytest.mark.parametrize("table", ["arenas", "programs"])
def test_even_what_is_still_there_is_bounded(table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recorder that misses the unloading of programs would list them for ever."""
    monkeypatch.setattr(rule, "MAX_LISTED", 40)
    key = {"arenas": "arena", "programs": "prog"}[table]
    rows = _rows(table, [{key: number} for number in range(50)])
    kept = retained_rows(table, {table: rows}, pl.DataFrame([{key: 3}], schema=_EVENTS))
    assert kept[key].to_list() == [3, *range(31, 50)]


def test_long_line_tables_are_bounded_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rule, "MAX_BYTES", 100_000)
    line = {"addr": 0, "file": "x" * 100, "line": 1, "col": 1, "text": "y" * 100}
    rows = _rows(
        "programs",
        [
            {"prog": number, "lines": [line] * 20, "unload_ts_ns": None if number == 1 else number}
            for number in range(30)
        ],
    )
    kept = retained_rows(
        "programs", {"programs": rows}, pl.DataFrame([{"prog": 5}], schema=_EVENTS)
    )
    assert {1, 5, 29} <= set(kept["prog"])
    assert 4 <= len(kept) <= 50_000 // (20 * 200)
    assert kept["prog"].to_list() == sorted(kept["prog"])


def test_stacks_of_what_explains_a_fault_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the free behind it, settled or not, however many stacks come after it."""
    monkeypatch.setattr(rule, "MAX_ROWS", 10)
    builder = TraceBuilder()
    arena = builder.arena()
    alloc, free, fault = (builder.stack(address) for address in (100, 200, 300))
    builder.event(Kind.PAGE_ALLOC, arena=arena, pages=1, ret=USER + 4096, pgoff=1, stack=alloc)
    builder.event(
        Kind.PAGE_FREE, arena=arena, pages=1, addr=USER + 4096, pgoff=1, sleepable=True, stack=free
    )
    recent = LiveWindow(Path("none"), sample_meta())

    def add(table: str, rows: list[dict[str, Any]]) -> None:
        recent.add(table, frame_of(record_batch(table, rows)))

    def flood(first: int) -> None:
        for number in range(first, first + 50):
            add("stacks", [{"stack": number, "frames": [number]}])
        held = set(recent.table("stacks")["stack"])
        assert {alloc, free} <= held
        assert len(held) <= 10 + 3

    for table in ("arenas", "stacks", "events"):
        add(table, builder.rows[table])
    flood(1000)
    add("stacks", [{"stack": fault, "frames": [300]}])
    builder.prog_fault(arena=arena, pgoff=1, stack=fault)
    add("events", builder.rows["events"][2:])
    recent.compact()
    flood(2000)
    assert fault in recent.table("stacks")["stack"]
    assert recent.evicted["stacks"] == 0
    monkeypatch.setattr(rule, "MAX_BYTES", 20)
    add("stacks", [{"stack": 3000, "frames": [1]}])
    assert recent.evicted["stacks"] >= 2


def test_events_of_arenas_that_no_table_lists_take_no_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rule, "MAX_LISTED", 5)
    recent = LiveWindow(Path("none"), sample_meta())
    for number in range(100):
        event = {"ts_ns": number, "seq": number, "kind": 1, "arena": number, "ret": 1}
        recent.add("events", pl.DataFrame([event], schema=_EVENTS))
    assert len(recent.activity) <= 11
    assert recent.activity["events"].sum() == 100


def test_names_of_tasks_are_texts_so_that_polars_need_not_remember_them() -> None:
    recent = LiveWindow(Path("none"), sample_meta())
    row = {"ts_ns": 1, "seq": 1, "kind": int(Kind.PAGE_ALLOC), "arena": 0, "comm": "a-task"}
    recent.add("events", frame_of(record_batch("events", [row])))
    recent.add("events", pl.DataFrame([{**row, "kind": int(Kind.PROG_FAULT)}], schema=_EVENTS))
    held = recent.snapshot()
    for frame in (*held.new_operations, held.new_faults, held.retained.recent, *held.related):
        assert frame.schema["comm"] == pl.String
    assert held.new_faults["comm"].to_list() == ["a-task"]
