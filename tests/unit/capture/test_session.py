"""Sessions over rings in files: drain order, losses and warnings."""

from __future__ import annotations

import re
import signal
import threading
import time
from pathlib import Path
from typing import cast

import pytest

from arenatrace.capture import drain
from arenatrace.capture import session as session_module
from arenatrace.capture.plan import Plan, Progress
from arenatrace.capture.probes import rings
from arenatrace.capture.probes.loader import Probes
from arenatrace.capture.probes.stack_cache import StackMismatch
from arenatrace.errors import UsageError
from arenatrace.schema import (
    DOUBTFUL_STACKS,
    EVENT_SIZE,
    GUARD_SZ,
    Kind,
    Outcome,
    WireFlag,
)
from arenatrace.trace.reader import open_trace
from tests.unit.capture.decode.make_records import event
from tests.unit.capture.fake_probes import USER, FakeProbes, arena_note, events_of, run
from tests.unit.capture.ring.make_notes import KERN_VM, PTR


@pytest.fixture
def short_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """An arena that outlives the command by more than 0.1 s stays."""
    monkeypatch.setattr(session_module, "LINGER_S", 0.1)


def test_recording_from_start_to_seal(probes: FakeProbes, tmp_path: Path) -> None:
    probes.rings["notes"].produce(arena_note(900))
    probes.rings["notes"].produce(b"not a note")
    fault = event(
        Kind.KERNEL_FAULT,
        ts_ns=1002,
        arena=PTR,
        addr=KERN_VM + GUARD_SZ // 2 + (USER & 0xFFFF_FFFF) + 0x2000,
        flags=WireFlag.OK | WireFlag.PTE_SEEN | WireFlag.PTE_WAS_NONE,
    )
    probes.send(event(Kind.ARENA_CREATE, arena=PTR, ts_ns=1001), fault)
    probes.late = [event(Kind.PAGE_FREE, arena=PTR, ts_ns=1003, addr=USER)]
    path = tmp_path / "run.atrace"
    result = run(probes, Plan(path, duration_s=0.01))

    rows = events_of(path)
    assert [row["kind"] for row in rows] == [Kind.ARENA_CREATE, Kind.KERNEL_FAULT, Kind.PAGE_FREE]
    assert [row["pgoff"] for row in rows] == [None, 2, 0]
    assert rows[1]["outcome"] == Outcome.SCRATCH_INSTALLED
    trace = open_trace(path)
    assert trace.meta.sealed
    (arena,) = trace.scan("arenas").collect().to_dicts()
    assert (arena["ptr"], arena["user_vm_start"], arena["create_ts_ns"]) == (PTR, USER, 1001)
    assert {kind: n for kind, n in result.counts.items() if n} == {
        Kind.ARENA_CREATE: 1,
        Kind.KERNEL_FAULT: 1,
        Kind.PAGE_FREE: 1,
    }
    assert result.lost == {"missed by kfunc__x": 2, "notes": 1}
    assert "probe refused by the kernel: free_module: not today" in result.notices
    assert "1 note(s) from the probes could not be read" in result.notices
    for ring in probes.rings.values():
        assert ring.consumed == ring.produced


def test_losses_are_written_once(probes: FakeProbes, tmp_path: Path) -> None:
    """Loss counters only grow; each poll adds the difference, and the sum is the total."""
    path = tmp_path / "run.atrace"
    probes.lost = {Kind.PAGE_ALLOC: 5}

    def more(_progress: object) -> None:
        probes.lost = {Kind.PAGE_ALLOC: 9, Kind.PROG_FAULT: 1}

    result = run(probes, Plan(path, duration_s=0.01, on_progress=more))
    lost = [(row["ret"], row["pages"]) for row in events_of(path) if row["kind"] == Kind.LOST]
    assert lost == [(Kind.PAGE_ALLOC, 5), (Kind.PAGE_ALLOC, 4), (Kind.PROG_FAULT, 1)]
    assert (result.lost["page_alloc"], result.lost["prog_fault"]) == (9, 1)


def test_doubtful_cached_stacks_are_a_loss(probes: FakeProbes, tmp_path: Path) -> None:
    now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    probes.mismatch = StackMismatch(127, now + 3_000_000_000)
    result = run(probes, Plan(tmp_path / "run.atrace", duration_s=0.01))
    assert result.lost[DOUBTFUL_STACKS] == 127
    (notice,) = [each for each in result.notices if "wrong stack" in each]
    until = re.search(r" (\S+) s after the start: 127 earlier ", notice)
    assert until is not None
    assert 2 < float(until[1]) <= 3


def test_recording_ends_with_the_command(probes: FakeProbes, tmp_path: Path) -> None:
    result = run(probes, Plan(tmp_path / "run.atrace", command=("sh", "-c", "exit 7")))
    assert result.command_status == 7
    assert open_trace(result.path).meta.command_status == 7


def test_destruction_of_the_commands_arenas_is_recorded(probes: FakeProbes, tmp_path: Path) -> None:
    """The kernel destroys an arena some time after the last process that had it open ended."""
    probes.send(event(Kind.ARENA_CREATE, arena=PTR, ts_ns=1001))
    destroy = event(Kind.ARENA_DESTROY, arena=PTR, ts_ns=1002)
    later = threading.Timer(0.4, probes.send, [destroy])
    later.start()
    result = run(probes, Plan(tmp_path / "run.atrace", command=("true",)))
    later.join()
    assert result.counts[Kind.ARENA_DESTROY] == 1


@pytest.mark.usefixtures("short_wait")
def test_wait_for_a_pinned_arena_is_bounded(probes: FakeProbes, tmp_path: Path) -> None:
    probes.send(event(Kind.ARENA_CREATE, arena=PTR, ts_ns=1001))
    path = run(probes, Plan(tmp_path / "run.atrace", command=("true",))).path
    assert open_trace(path).meta.sealed


def test_command_is_ended_after_the_duration(probes: FakeProbes, tmp_path: Path) -> None:
    plan = Plan(tmp_path / "run.atrace", duration_s=0.01, command=("sleep", "600"))
    assert run(probes, plan).command_status == -signal.SIGTERM


def test_command_that_cannot_be_started_is_refused(probes: FakeProbes, tmp_path: Path) -> None:
    path = tmp_path / "run.atrace"
    with pytest.raises(UsageError, match="cannot start no-such-command"):
        run(probes, Plan(path, command=("no-such-command",)))
    assert not open_trace(path).meta.sealed


def test_signal_ends_recording_and_seals_the_trace(probes: FakeProbes, tmp_path: Path) -> None:
    path = tmp_path / "run.atrace"
    run(probes, Plan(path, on_progress=lambda _progress: signal.raise_signal(signal.SIGINT)))
    assert open_trace(path).meta.sealed


def test_missing_probe_point_is_in_meta(probes: FakeProbes, tmp_path: Path) -> None:
    path = tmp_path / "run.atrace"
    run(probes, Plan(path, duration_s=0.01))
    meta = open_trace(path).meta
    assert meta.probes is not None
    assert [probe.point for probe in meta.probes.missing] == ["free_module"]


def test_events_wait_for_an_unfinished_note(
    probes: FakeProbes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The note was reserved first; later records in its ring wait too."""
    monkeypatch.setattr(session_module, "FLUSH_S", 0.2)
    monkeypatch.setattr(session_module, "PROGRESS_S", 0.2)
    notes = probes.rings["notes"]
    slow = notes.reserve(len(arena_note(900)))
    assert slow is not None
    probes.send(event(Kind.ARENA_CREATE, arena=PTR, ts_ns=1001))
    seen: list[int] = []

    def finish(progress: Progress) -> None:
        seen.append(progress.counts[Kind.ARENA_CREATE])
        if len(seen) == 1:
            notes.commit(slow, arena_note(900))

    path = tmp_path / "run.atrace"
    run(probes, Plan(path, duration_s=0.3, on_progress=finish))
    (arena,) = open_trace(path).scan("arenas").collect().to_dicts()
    assert seen == [0, 1]
    assert (arena["ptr"], arena["user_vm_start"]) == (PTR, USER)


def test_pass_takes_all_finished_records(
    probes: FakeProbes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One pass may need several reads. Records left in the ring are lost when the recorder ends."""
    monkeypatch.setattr(drain, "PASS_EVENTS", 2)
    probes.send(*[event(Kind.ARENA_DESTROY, arena=PTR + at) for at in range(7)])
    seen: list[int] = []
    plan = Plan(
        tmp_path / "run.atrace",
        duration_s=0.01,
        on_progress=lambda progress: seen.append(progress.counts[Kind.ARENA_DESTROY]),
    )
    run(probes, plan)
    assert seen[0] == 7


def test_unfinished_records_are_counted(
    probes: FakeProbes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain, "STRAGGLERS_S", 0.05)
    probes.send(event(Kind.ARENA_DESTROY, arena=PTR))
    probes.rings["events"].reserve(EVENT_SIZE)
    probes.send(event(Kind.ARENA_DESTROY, arena=PTR + 1), event(Kind.ARENA_DESTROY, arena=PTR + 2))
    path = tmp_path / "run.atrace"
    result = run(probes, Plan(path, duration_s=0.01))
    assert len(events_of(path)) == 1
    assert result.lost["unfinished events"] == 3
    assert open_trace(path).meta.lost["unfinished events"] == 3


def test_second_interrupt_does_not_abort_sealing(probes: FakeProbes, tmp_path: Path) -> None:
    path = tmp_path / "run.atrace"

    def interrupt(text: str) -> None:
        if text in ("recording", "sealing"):
            signal.raise_signal(signal.SIGINT)

    run(probes, Plan(path, on_status=interrupt))
    meta = open_trace(path).meta
    assert meta.sealed
    assert meta.lost == {"missed by kfunc__x": 2, "notes": 1}


def test_interrupted_command_may_finish(probes: FakeProbes, tmp_path: Path) -> None:
    """Ctrl-C reaches it from the terminal: its own exit status is its own affair."""
    pressed: list[int] = []

    def once(_progress: object) -> None:
        if not pressed:
            pressed.append(1)
            signal.raise_signal(signal.SIGINT)

    command = ("sh", "-c", "sleep 1; exit 3")
    plan = Plan(tmp_path / "run.atrace", command=command, on_progress=once)
    assert run(probes, plan).command_status == 3


def test_second_interrupt_terminates_the_command(probes: FakeProbes, tmp_path: Path) -> None:
    def twice(_progress: object) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    plan = Plan(tmp_path / "run.atrace", command=("sleep", "600"), on_progress=twice)
    assert run(probes, plan).command_status == -signal.SIGTERM


@pytest.mark.parametrize("why", ["refused", "asked"])
def test_trace_is_the_same_when_rings_cannot_be_mapped(
    probes: FakeProbes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    def refuse(_fd: int, _size: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    if why == "asked":
        monkeypatch.setenv(rings.UNMAPPED, "1")
    else:
        monkeypatch.setattr(rings, "MappedRing", refuse)
    probes.rings["notes"].produce(arena_note(900))
    probes.rings["notes"].produce(b"not a note")
    probes.send(
        event(Kind.ARENA_CREATE, arena=PTR, ts_ns=1001),
        event(Kind.PAGE_ALLOC, arena=PTR, ts_ns=1002, addr=0, ret=USER + 0x1000),
    )
    probes.late = [event(Kind.PAGE_FREE, arena=PTR, ts_ns=1003, addr=USER)]
    statuses: list[str] = []
    path = tmp_path / "run.atrace"
    result = run(probes, Plan(path, duration_s=0.01, on_status=statuses.append))
    rows = [(row["kind"], row["arena"], row["pgoff"], row["comm"]) for row in events_of(path)]
    assert rows == [
        (Kind.ARENA_CREATE, 0, None, "task"),
        (Kind.PAGE_ALLOC, 0, 1, "task"),
        (Kind.PAGE_FREE, 0, 0, "task"),
    ]
    (notice,) = [each for each in result.notices if "cannot be mapped" in each]
    assert {"asked": "is set", "refused": "Operation not permitted"}[why] in notice
    assert notice in statuses
    assert notice in open_trace(path).meta.notices


def test_callback_events_wait_for_notes_of_the_next_poll(
    probes: FakeProbes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(rings.UNMAPPED, "1")
    opened = rings.open_rings(cast(Probes, probes))
    slow = probes.rings["notes"].reserve(4)
    assert slow is not None
    probes.rings["notes"].produce(b"of the event")
    probes.send(event(Kind.ARENA_CREATE, arena=PTR))
    opened.poll()
    assert list(opened.notes.notes()) == []
    assert opened.events.produced == 0
    probes.rings["notes"].commit(slow, b"slow")
    opened.poll()
    assert list(opened.notes.notes()) == [b"slow", b"of the event"]
    got, position = opened.events.events(opened.events.produced)
    assert got["arena"].tolist() == [PTR]
    opened.events.advance(position)
    assert opened.events.consumed == opened.events.produced
