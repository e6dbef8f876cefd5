"""Damaged and impossible histories: no error and no wrong cause."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from arenatrace.analysis.explanation import explanation
from arenatrace.analysis.faults import faults
from arenatrace.cli.app import run
from arenatrace.schema import Kind, Outcome
from arenatrace.trace.reader import open_trace
from tests.data.trace_builder import KERN, USER, TraceBuilder, sample_meta

_U32 = (1 << 32) - 1
_PAGE0 = KERN + (USER & _U32)


def _causes(builder: TraceBuilder, path: Path, *, seal: bool = True) -> list[Any]:
    trace = open_trace(builder.write(path / "t", seal=seal))
    rows = faults(trace).collect()
    for number in range(1, len(rows) + 1):
        assert explanation(trace, number) is not None
    return rows["cause"].to_list()


def _freed_page() -> TraceBuilder:
    builder = TraceBuilder()
    builder.arena()
    builder.event(Kind.PAGE_ALLOC, arena=0, pgoff=1, pages=2, ret=USER + 4096)
    builder.event(Kind.PAGE_FREE, arena=0, pgoff=1, pages=2, addr=USER + 4096, sleepable=True)
    builder.kernel_fault(pgoff=1)
    return builder


@pytest.mark.parametrize("seal", [True, False])
def test_shuffled_rows_give_the_same_cause(tmp_path: Path, seal: bool) -> None:
    builder = _freed_page()
    random.Random(3).shuffle(builder.rows["events"])  # noqa: S311
    assert _causes(builder, tmp_path, seal=seal) == ["use-after-free"]


def test_duplicate_rows_give_the_same_cause(tmp_path: Path) -> None:
    builder = _freed_page()
    builder.rows["events"] = [row for row in builder.rows["events"] for _ in range(2)]
    assert _causes(builder, tmp_path) == ["use-after-free", "use-after-free"]


@pytest.mark.parametrize(
    "values",
    [
        {"pgoff": 0, "pages": _U32},
        {"pgoff": 1, "pages": _U32},
        {"pgoff": _U32, "pages": _U32},
        {"pgoff": 1 << 20, "pages": 3},
        {"pgoff": None, "pages": 3},
        {"pgoff": 1, "pages": 0},
        {"pgoff": 1, "pages": None},
        {"arena": None, "pgoff": 1, "pages": 1},
        {"arena": 77, "pgoff": 1, "pages": 1},
        {"arena": _U32, "pgoff": _U32, "pages": _U32},
    ],
)
@pytest.mark.parametrize("kind", [Kind.PAGE_ALLOC, Kind.PAGE_FREE, Kind.PAGE_RESERVE])
def test_impossible_ranges_affect_only_pages_they_cover(
    tmp_path: Path, kind: Kind, values: dict[str, Any]
) -> None:
    builder = TraceBuilder()
    builder.arena()
    builder.event(kind, **{"arena": 0, "ret": 0 if kind is Kind.PAGE_RESERVE else 5, **values})
    builder.kernel_fault(pgoff=1, ts_ns=9_000_000_000)
    (cause,) = _causes(builder, tmp_path)
    start, pages = values["pgoff"], values["pages"]
    covered = values.get("arena", 0) == 0 and start is not None and start <= 1 and pages != 0
    if not covered:
        assert cause == "never-allocated"
    elif kind is Kind.PAGE_RESERVE:
        assert cause == "reserved-guard"
    else:
        # A free of a never allocated page is no use after free.
        assert cause == ("unknown" if kind is Kind.PAGE_ALLOC else "never-allocated")


def test_impossible_range_does_not_reach_the_next_arena(tmp_path: Path) -> None:
    builder = TraceBuilder()
    builder.arena()
    builder.arena()
    builder.event(Kind.PAGE_ALLOC, arena=0, pgoff=0, pages=_U32, ret=5)
    builder.kernel_fault(arena=1, addr=_PAGE0 + (1 << 33) + 8192, pgoff=2)
    assert _causes(builder, tmp_path) == ["never-allocated"]


def test_dangling_references_of_faults_are_tolerated(tmp_path: Path) -> None:
    builder = TraceBuilder()
    builder.kernel_fault(arena=5, prog=9, stack=12, pgoff=1)
    builder.kernel_fault(arena=None, prog=None, stack=None, addr=None, outcome=250, write=None)
    builder.event(Kind.PAGE_FREE, arena=5, pgoff=1, pages=1, stack=99, prog=1000)
    builder.prog_fault(arena=5, tid=None, pid=None, comm=None, cpu=None)
    assert _causes(builder, tmp_path) == ["unknown"] * 3


def test_dangling_stack_of_an_operation_is_tolerated(tmp_path: Path) -> None:
    builder = _freed_page()
    for row in builder.rows["events"]:
        row["stack"] = 4711
    assert _causes(builder, tmp_path) == ["use-after-free"]


def test_level_faults_gives_only_causes_by_address(tmp_path: Path) -> None:
    builder = TraceBuilder(meta=sample_meta(level="faults"))
    builder.arena()
    builder.kernel_fault()
    builder.kernel_fault(addr=KERN + (1 << 32) + 8)
    trace = open_trace(builder.write(tmp_path / "t"))
    rows = list(faults(trace).collect().iter_rows(named=True))
    assert [row["cause"] for row in rows] == ["unknown", "guard-band"]
    assert "recorded at level faults" in rows[0]["evidence"][-1]
    assert [row["ended_by"] for row in rows] == [None, None]


def test_empty_trace_has_no_faults(tmp_path: Path) -> None:
    trace = open_trace(TraceBuilder().write(tmp_path / "t"))
    assert faults(trace).collect().is_empty()
    assert explanation(trace, 1) is None


def test_times_at_the_limits_of_64_bits(tmp_path: Path) -> None:
    builder = TraceBuilder()
    builder.arena(create_ts_ns=-(1 << 63), destroy_ts_ns=(1 << 63) - 1)
    ends = (-(1 << 63), -1, 0, (1 << 63) - 1)
    for ts_ns in ends:
        builder.event(Kind.PAGE_ALLOC, arena=0, pgoff=1, pages=1, ret=5, ts_ns=ts_ns)
        builder.event(Kind.LOST, ts_ns=ts_ns, pages=1, ret=int(Kind.PAGE_FREE))
        builder.kernel_fault(ts_ns=ts_ns, pgoff=1, outcome=int(Outcome.ALREADY_MAPPED))
    assert len(_causes(builder, tmp_path)) == len(ends)
    for command in (["summary"], ["faults"], ["explain"]):
        arguments = ["2"] if command == ["explain"] else []
        assert run([*command, str(tmp_path / "t"), *arguments]) == 1
