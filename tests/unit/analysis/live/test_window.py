"""What is held of a recording under way gives the answers that the whole trace gives."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from arenatrace.analysis.faults import diagnosed_faults, fault_contract
from arenatrace.analysis.live import fault_tally, retained
from arenatrace.analysis.live import window as recent
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
def test_every_answer_is_that_of_the_whole_trace(
    name: str, fresh: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retained, "MAX_NEW_OPERATIONS", fresh)
    trace = open_trace(_SAMPLES / f"{name}.atrace")
    recent = feed(trace, 1000)
    assert _contract(recent.snapshot().diagnosed()).equals(_contract(diagnosed_faults(trace)))


@pytest.mark.parametrize("name", ["one-program", "two-programs", "clean"])
def test_live_rows_equal_the_summary_of_the_finished_trace(name: str) -> None:
    trace = open_trace(_SAMPLES / f"{name}.atrace")
    recent = feed(trace, 1000)
    now = recent.snapshot()
    tally = now.retained.tally.plus(fault_contract(now.diagnosed().lazy()).collect())
    causes = tally.causes()
    programs, arenas = (now.tables[table].lazy() for table in ("programs", "arenas"))
    live = {
        "programs": program_rows(programs, tally.counts("prog_index"), causes),
        "arenas": arena_rows(arenas, tally.counts("arena"), recent.activity.lazy()),
        "causes": cause_counts(causes),
        "signatures": tally.signatures(),
    }
    finished = summary(trace)
    assert live == {member: finished[member] for member in live}
    assert list(live["causes"]) == list(finished["causes"])


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


def test_faults_that_are_let_go_stay_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retained, "MAX_FAULTS", 50)
    monkeypatch.setattr(retained, "MAX_NEW_OPERATIONS", 100)
    trace = open_trace(_SAMPLES / "one-program.atrace")
    recent = feed(trace, 60)
    now = recent.snapshot()
    unlisted = now.retained.evicted_faults
    rows = fault_contract(now.diagnosed().lazy()).collect()
    assert len(rows) + unlisted == 379
    assert unlisted >= 250
    assert rows["fault"].to_list() == list(range(unlisted + 1, 380))
    every = now.retained.tally.plus(rows)
    whole = summary(trace)
    assert sum(cause_counts(every.causes()).values()) == 379
    assert sum(row["count"] for row in every.signatures()) == 379
    assert {n: recent.totals[n] for n in ("allocs", "frees", "prog_faults", "kernel_faults")} == {
        n: whole["totals"][n] for n in ("allocs", "frees", "prog_faults", "kernel_faults")
    }
    # what a later operation on the page would have told is all that can differ
    assert cause_counts(every.causes()).keys() <= {*whole["causes"], "unknown"}
    differing = sum((Counter(whole["causes"]) - Counter(cause_counts(every.causes()))).values())
    assert differing <= 379 // 20


def test_what_was_let_go_makes_an_arena_old(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A page whose only allocation was let go is unknown, not never allocated."""
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


def test_drains_are_held_as_long_as_what_they_freed() -> None:
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
    kept = last_operations(rows, 2)
    assert kept["seq"].to_list() == [14, 15, 16, 17]


def test_a_tally_is_bounded_and_loses_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fault_tally, "MAX_GROUPS", 10)
    trace = open_trace(_SAMPLES / "one-program.atrace")
    faults = fault_contract(diagnosed_faults(trace).lazy()).collect()
    tally = FaultTally()
    for start in range(0, len(faults), 20):
        tally = tally.plus(faults.slice(start, 20))
    assert tally.groups is not None
    assert len(tally.groups) <= 40
    assert sum(cause_counts(tally.causes()).values()) == len(faults)


def test_a_damaged_stream_is_said(tmp_path: Path) -> None:
    trace = TraceBuilder()
    trace.event(Kind.PAGE_ALLOC, ret=1)
    path = trace.write(tmp_path / "t", seal=False)
    stream = path / "events.arrows"
    data = bytearray(stream.read_bytes())
    data[16:48] = b"\xff" * 32
    stream.write_bytes(data)
    with pytest.raises(TraceError, match=r"events.arrows: the stream is damaged"):
        list(follow(path, "events", threading.Event()))


def test_following_ends_when_told(tmp_path: Path) -> None:
    stopped = threading.Event()
    waits: list[int] = []

    def wait(pending: int) -> None:
        waits.append(pending)
        stopped.set()

    found: list[pa.RecordBatch] = list(follow(tmp_path, "events", stopped, waits=wait))
    assert (found, waits) == ([], [0])


def test_small_batches_are_joined_and_nothing_of_them_is_lost_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also while a look at what was there before is being worked out."""
    monkeypatch.setattr(recent, "_MIN_BATCH_ROWS", 50)
    monkeypatch.setattr(retained, "MAX_NEW_OPERATIONS", 300)
    now = recent.LiveWindow(_SAMPLES, sample_meta())
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


def test_what_is_held_is_one_frame_to_polars() -> None:
    """It reads each of many frames in a thread of its own, hundreds at once."""
    now = feed(open_trace(_SAMPLES / "one-program.atrace"), 5).snapshot()
    for trace in (now.trace(), now.state_trace()):
        plan = trace.scan("events").explain(optimized=False)
        assert plan.count("DF [") == 1
        assert "UNION" not in plan
