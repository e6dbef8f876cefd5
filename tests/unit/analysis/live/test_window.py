"""The live window gives the results of the finished trace."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from arenatrace.analysis.faults import diagnosed_faults, fault_contract
from arenatrace.analysis.live import fault_tally, retained, window
from arenatrace.analysis.live.fault_tally import FaultTally
from arenatrace.analysis.live.last_operations import last_operations
from arenatrace.analysis.summary.one_trace import summary
from arenatrace.analysis.summary.rows import arena_rows, cause_counts, program_rows
from arenatrace.analysis.totals import lost
from arenatrace.errors import TraceError
from arenatrace.schema import Kind
from arenatrace.trace.follow import follow, frame_of
from arenatrace.trace.reader import open_trace
from tests.data.feeding import feed
from tests.data.trace_builder import USER, TraceBuilder, record_batch, sample_meta
from tests.paths import ROOT

_SAMPLES = ROOT / "sample_traces"
_SAME = ("fault", "cause", "confidence", "evidence", "signature", "title", "prog", "source")


def _contract(rows: pl.DataFrame) -> pl.DataFrame:
    return fault_contract(rows.lazy()).collect().select(_SAME)


@pytest.mark.parametrize("name", ["one-program", "two-programs"])
@pytest.mark.parametrize("fresh", [400, 1_000_000])
def test_live_diagnosis_equals_that_of_the_finished_trace(
    name: str, fresh: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retained, "MAX_NEW_OPERATIONS", fresh)
    trace = open_trace(_SAMPLES / f"{name}.atrace")
    live = feed(trace, 1000)
    assert _contract(live.snapshot().diagnosed()).equals(_contract(diagnosed_faults(trace)))


@pytest.mark.parametrize("name", ["one-program", "two-programs", "clean"])
def test_live_rows_equal_the_summary_of_the_finished_trace(name: str) -> None:
    trace = open_trace(_SAMPLES / f"{name}.atrace")
    live = feed(trace, 1000)
    now = live.snapshot()
    tally = now.retained.tally.plus(fault_contract(now.diagnosed().lazy()).collect())
    causes = tally.causes()
    programs, arenas = (now.tables[table].lazy() for table in ("programs", "arenas"))
    found = {
        "programs": program_rows(programs, tally.counts("prog_index"), causes),
        "arenas": arena_rows(arenas, tally.counts("arena"), live.activity.lazy()),
        "causes": cause_counts(causes),
        "signatures": tally.signatures(),
    }
    finished = summary(trace)
    assert found == {member: finished[member] for member in found}
    assert list(found["causes"]) == list(finished["causes"])


def test_live_recording_and_finished_trace_doubt_the_same_faults_after_a_loss(
    tmp_path: Path,
) -> None:
    builder = TraceBuilder(meta=sample_meta(lost={"page_free": 1, "notes": 4}))
    arena = builder.arena()
    builder.event(Kind.LOST, pages=1, ret=int(Kind.PAGE_FREE), since_ts_ns=1)
    for page in range(2):
        builder.event(Kind.PAGE_ALLOC, arena=arena, pages=1, ret=USER + page * 4096, pgoff=page)
        builder.event(
            Kind.PAGE_FREE, arena=arena, pages=1, addr=USER + page * 4096, pgoff=page,
            sleepable=True,
        )  # fmt: skip
    builder.prog_fault(arena=arena, pgoff=1)
    trace = open_trace(builder.write(tmp_path / "t"))
    finished = diagnosed_faults(trace)
    assert finished["confidence"].to_list() == ["certain"]
    live = feed(trace, 3).snapshot()
    assert _contract(live.diagnosed()).equals(_contract(finished))
    assert lost(live.trace()) == lost(trace) == 5


def test_evicted_faults_stay_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retained, "MAX_FAULTS", 50)
    monkeypatch.setattr(retained, "MAX_NEW_OPERATIONS", 100)
    trace = open_trace(_SAMPLES / "one-program.atrace")
    live = feed(trace, 60)
    now = live.snapshot()
    unlisted = now.retained.evicted_faults
    rows = fault_contract(now.diagnosed().lazy()).collect()
    assert len(rows) + unlisted == 379
    assert unlisted >= 250
    assert rows["fault"].to_list() == list(range(unlisted + 1, 380))
    every = now.retained.tally.plus(rows)
    whole = summary(trace)
    assert sum(cause_counts(every.causes()).values()) == 379
    assert sum(row["count"] for row in every.signatures()) == 379
    assert {n: live.totals[n] for n in ("allocs", "frees", "prog_faults", "kernel_faults")} == {
        n: whole["totals"][n] for n in ("allocs", "frees", "prog_faults", "kernel_faults")
    }
    # Only diagnoses that depend on later operations on the page may differ.
    assert cause_counts(every.causes()).keys() <= {*whole["causes"], "unknown"}
    differing = sum((Counter(whole["causes"]) - Counter(cause_counts(every.causes()))).values())
    assert differing <= 379 // 20


def test_evicted_operations_make_an_arena_preexisting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A page whose only allocation was evicted is unknown, not never allocated."""
    monkeypatch.setattr(retained, "MAX_OPERATIONS", 3)
    monkeypatch.setattr(retained, "MAX_NEW_OPERATIONS", 4)
    builder = TraceBuilder()
    arena = builder.arena()
    for page in range(20):
        builder.event(Kind.PAGE_ALLOC, arena=arena, pages=1, ret=USER + page * 4096, pgoff=page)
    builder.prog_fault(arena=arena)
    now = feed(open_trace(builder.write(tmp_path / "t")), 5).snapshot()
    assert now.retained.evicted_until_ns is not None
    assert now.diagnosed()["cause"].to_list() == ["unknown"]


def test_drains_are_retained_with_their_deferred_frees() -> None:
    builder = TraceBuilder()
    for _ in range(9):
        builder.event(Kind.PAGE_FREE, arena=0, pages=1, pgoff=1, sleepable=False)
        builder.event(Kind.FREE_DRAIN, arena=0)
    rows = pl.DataFrame(
        [
            {
                name: row.get(name)
                for name in ("ts_ns", "seq", "kind", "arena", "pgoff", "pages", "ret", "sleepable")
            }
            for row in builder.rows["events"]
        ]
    ).cast({"ret": pl.Int64})
    retained_rows = last_operations(rows, 2)
    assert retained_rows["seq"].to_list() == [14, 15, 16, 17]


def test_tally_is_bounded_and_counts_every_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fault_tally, "MAX_GROUPS", 10)
    trace = open_trace(_SAMPLES / "one-program.atrace")
    faults = fault_contract(diagnosed_faults(trace).lazy()).collect()
    tally = FaultTally()
    for start in range(0, len(faults), 20):
        tally = tally.plus(faults.slice(start, 20))
    assert tally.groups is not None
    assert len(tally.groups) <= 40
    assert sum(cause_counts(tally.causes()).values()) == len(faults)


def test_damaged_stream_raises_an_error(tmp_path: Path) -> None:
    trace = TraceBuilder()
    trace.event(Kind.PAGE_ALLOC, ret=1)
    path = trace.write(tmp_path / "t", seal=False)
    stream = path / "events.arrows"
    data = bytearray(stream.read_bytes())
    data[16:48] = b"\xff" * 32
    stream.write_bytes(data)
    with pytest.raises(TraceError, match=r"events.arrows: the stream is damaged"):
        list(follow(path, "events", threading.Event()))


def test_following_ends_when_stopped(tmp_path: Path) -> None:
    stopped = threading.Event()
    waits: list[int] = []

    def wait(pending: int) -> None:
        waits.append(pending)
        stopped.set()

    found: list[pa.RecordBatch] = list(follow(tmp_path, "events", stopped, on_wait=wait))
    assert (found, waits) == ([], [0])


def test_small_batches_are_joined_without_loss_during_compaction(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(window, "_MIN_BATCH_ROWS", 50)
    monkeypatch.setattr(retained, "MAX_NEW_OPERATIONS", 300)
    now = window.LiveWindow(_SAMPLES, sample_meta())
    sent, before = 0, None
    seen: list[int] = []
    for number in range(120):
        rows = [
            {"ts_ns": sent + n, "seq": sent + n, "kind": int(Kind.PAGE_ALLOC), "arena": 0,
             "pgoff": sent + n, "pages": 1, "ret": 1}
            for n in range(7)
        ]  # fmt: skip
        now.add("events", frame_of(record_batch("events", rows)))
        sent += 7
        if before is None and now.needs_compaction:
            before = now.snapshot()
        elif before is not None and number % 5 == 0:
            seen += [seq for part in before.new_operations for seq in part["seq"]]
            now.adopt(before, before.compacted(before.diagnosed()))
            before = None
    assert len(now.snapshot().new_operations) <= 600 // 50
    assert max(map(len, now.snapshot().new_operations)) < 2 * 50
    seen += [seq for part in now.snapshot().new_operations for seq in part["seq"]]
    assert len(seen) > 300
    assert seen == list(range(sent))


def test_snapshot_events_are_one_polars_frame() -> None:
    """Polars would scan hundreds of frames in a thread each."""
    now = feed(open_trace(_SAMPLES / "one-program.atrace"), 5).snapshot()
    for trace in (now.trace(), now.state_trace()):
        plan = trace.scan("events").explain(optimized=False)
        assert plan.count("DF [") == 1
        assert "UNION" not in plan
