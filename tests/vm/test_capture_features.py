"""Filters, recording without root, and flight recorders, on a real kernel."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from arenatrace.schema import Kind
from arenatrace.trace.reader import Trace, open_trace
from tests.vm.boots import CommandsRun
from tests.vm.recordings import arenatrace, status_of

_FAULTS = (int(Kind.KERNEL_FAULT), int(Kind.PROG_FAULT))


@pytest.fixture(scope="module")
def out(commands: CommandsRun) -> Path:
    """The directory with the traces, logs and accounts of the workload."""
    return commands.out("capture")


def _trace(out: Path, name: str) -> Trace:
    log = (out / f"{name}.log").read_text()
    assert (out / f"{name}.rc").read_text() == "0\n", log
    assert "nothing lost" in log
    return open_trace(out / f"{name}.atrace")


def _truth(out: Path, name: str) -> list[dict[str, Any]]:
    faults: list[dict[str, Any]] = json.loads((out / f"{name}.json").read_text())["faults"]
    return faults


def _recorded_faults(path: Path) -> Counter[tuple[str, str]]:
    rows = map(json.loads, arenatrace("faults", path, "--json").splitlines())
    return Counter((row["prog"]["name"], row["kaddr"]) for row in rows)


def _true_faults(faults: list[dict[str, Any]], *programs: str) -> Counter[tuple[str, str]]:
    return Counter(
        (fault["program"], fault["kaddr"]) for fault in faults if fault["program"] in programs
    )


def _arenas(trace: Trace, *kinds: Kind) -> set[str]:
    names = dict(trace.scan("arenas").select("arena", "name").collect().iter_rows())
    rows = trace.scan("events").filter(pl.col("kind").is_in([int(kind) for kind in kinds]))
    return {names[arena] for arena in rows.collect()["arena"].unique().to_list()}


_PAGES = (Kind.PAGE_ALLOC, Kind.PAGE_FREE, Kind.PAGE_RESERVE, Kind.USER_FAULT, Kind.FREE_DRAIN)


def test_arena_filter_works_with_capabilities_instead_of_root(out: Path) -> None:
    trace = _trace(out, "arena")
    assert trace.meta.filters == {"arena": ("alpha_arena",)}
    wanted = _true_faults(_truth(out, "all"), "alpha")
    assert sum(wanted.values()) > 100
    assert _recorded_faults(trace.path) == wanted
    assert _arenas(trace, *_PAGES) == {"alpha_arena"}
    # other arenas are listed, without their events
    assert "beta_arena" in _arenas(trace, Kind.ARENA_CREATE)
    # the history of the chosen arena is complete
    replay = json.loads(arenatrace("replay", trace.path, "--json"))
    assert (replay["verdict"], replay["divergences"]) == ("consistent", [])


def test_program_filter_records_its_faults_and_the_pages_of_its_arena(out: Path) -> None:
    trace = _trace(out, "program")
    assert _recorded_faults(trace.path) == _true_faults(_truth(out, "all"), "beta")
    assert _arenas(trace, *_PAGES) == {"beta_arena"}
    notice = "recorded with filters: --program beta"
    assert notice in trace.warnings
    replay = json.loads(status_of("replay", trace.path, "--json")[1])
    assert (replay["verdict"], replay["divergences"]) == ("inconclusive", [])


def test_cgroup_filter_records_nothing_of_other_cgroups(out: Path) -> None:
    trace = _trace(out, "cgroup")
    assert trace.meta.filters == {"cgroup": ("/other",)}
    kinds = set(trace.scan("events").collect()["kind"].to_list())
    assert kinds.isdisjoint({int(kind) for kind in _PAGES if kind is not Kind.FREE_DRAIN})
    assert kinds.isdisjoint(_FAULTS)
    assert int(Kind.ARENA_CREATE) in kinds


def test_unknown_program_is_refused_and_named(out: Path) -> None:
    log = (out / "typo.log").read_text()
    assert (out / "typo.rc").read_text() == "2\n"
    assert "error: --program nobody: no such program" in log
    assert "--later" in log
    assert not (out / "typo.atrace").exists()


def test_flight_recorder_seals_the_time_around_faults(out: Path) -> None:
    log = (out / "flight.log").read_text()
    assert (out / "flight.rc").read_text() == "0\n", log
    (window,) = (out / "flight").glob("*.atrace")
    assert f"1 window(s) around faults in {Path('/job/out/capture/flight')}" in log
    trace = open_trace(window)
    assert trace.meta.sealed
    truth = _truth(out, "flight")
    assert _recorded_faults(window) == _true_faults(truth, *{fault["program"] for fault in truth})
    events = trace.scan("events").collect()
    first = events.filter(pl.col("kind").is_in(_FAULTS))["ts_ns"].min()
    assert isinstance(first, int)
    assert 4.0 <= (first - trace.meta.start_ts_ns) / 1e9 <= 7.0
    assert trace.meta.end_ts_ns is not None
    assert trace.meta.end_ts_ns > events["ts_ns"].max() - 1_000_000_000  # type: ignore[operator]
    # the probes send the stacks of allocations again for every segment
    allocs = events.filter(pl.col("kind") == int(Kind.PAGE_ALLOC))
    assert allocs["stack"].null_count() == 0
    stacks = set(trace.scan("stacks").collect()["stack"].to_list())
    assert set(events["stack"].drop_nulls().to_list()) <= stacks
    assert sorted(path.name for path in (out / "flight" / ".segments").iterdir()) == ["lock"]


def test_next_flight_recorder_seals_the_segments_of_a_killed_one(out: Path) -> None:
    log = (out / "again.log").read_text()
    assert (out / "again.rc").read_text() == "0\n", log
    (window,) = (out / "cut").glob("interrupted-*.atrace")
    assert f"the last recorder here was cut off: {window.name}" in log
    trace = open_trace(window)
    assert trace.meta.sealed
    assert "the recorder was killed, or the machine went down" in trace.warnings
    truth = _truth(out, "flight")
    # killed a second after the last fault: the events flushed by then are there
    found, wanted = (
        _recorded_faults(window),
        _true_faults(truth, *{fault["program"] for fault in truth}),
    )
    assert found
    assert not found - wanted
