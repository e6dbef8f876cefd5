"""Tables of a recording under way stay bounded, and what is needed stays in them."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from arenatrace.analysis import kept_rows as rule
from arenatrace.analysis.kept_rows import kept_rows
from arenatrace.analysis.recent import Recent
from arenatrace.trace.polars_schema import polars_schema
from tests.unit.trace_builder import sample_meta

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
    monkeypatch.setattr(rule, "GONE", 10)
    there: list[dict[str, object]] = [{key: number} for number in range(100, 150)]
    left: list[dict[str, object]] = [{key: number, gone: number} for number in range(100)]
    rows = _rows(table, [*left, *there])
    faults = pl.DataFrame([{key: 3}], schema=_EVENTS)
    kept = kept_rows(table, {table: rows}, faults)[key].to_list()
    assert kept == [3, *range(90, 150)]
    few = rows.tail(70)
    assert kept_rows(table, {table: few}, faults).equals(few)


def test_stacks_and_symbols_of_faults_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rule, "ROWS", 20)
    stacks = _rows("stacks", [{"stack": n, "frames": [n, 1000]} for n in range(40)])
    symbols = _rows("symbols", [{"ts_ns": 0, "addr": n} for n in [*range(60), 1000]])
    faults = pl.DataFrame([{"stack": 2, "ip": 7}], schema=_EVENTS)
    kept = kept_rows("stacks", {"stacks": stacks}, faults)
    assert kept["stack"].to_list() == [2, *range(30, 40)]
    named = kept_rows("symbols", {"stacks": kept, "symbols": symbols}, faults)
    assert named["addr"].to_list() == [2, 7, *range(30, 40), *range(51, 60), 1000]


def test_what_is_not_listed_is_counted_and_its_operations_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rule, "GONE", 2)
    recent = Recent(Path("none"), sample_meta())
    for number in range(20):
        recent.add("arenas", _rows("arenas", [{"arena": number, "create_ts_ns": number}]))
        event = {"ts_ns": number, "seq": number, "kind": 1, "arena": number, "ret": 1}
        recent.add("events", pl.DataFrame([event], schema=_EVENTS))
        recent.add("arenas", _rows("arenas", [{"arena": number, "destroy_ts_ns": number + 1}]))
    listed = recent.table("arenas")["arena"].to_list()
    assert len(listed) <= 5
    assert recent.let_go["arenas"] == 20 - len(listed)
    assert len(recent.operations) <= 8
    assert recent.operations["events"].sum() == 20
