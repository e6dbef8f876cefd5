"""A recording from rings in files: what is drained, in which order, and what is said at the end."""

from __future__ import annotations

import errno
import os
import re
import signal
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from arenatrace.capture import drain, rings
from arenatrace.capture import session as session_module
from arenatrace.capture.command import check_command
from arenatrace.capture.kernel import Kernel
from arenatrace.capture.loader import Probes
from arenatrace.capture.notes import NoteType
from arenatrace.capture.plan import Plan, Progress, Result
from arenatrace.capture.points import POINTS, PointState
from arenatrace.capture.ring import HEADER_BYTES
from arenatrace.capture.ring_size import RingSizes
from arenatrace.capture.session import Session, check_output
from arenatrace.capture.stack_memory import StackDoubt
from arenatrace.capture.stops import Stops
from arenatrace.errors import IncompleteError, UsageError
from arenatrace.schema import (
    DOUBTFUL_STACKS,
    EVENT_SIZE,
    GUARD_SZ,
    LOST_NOTES,
    Kind,
    Outcome,
    WireFlag,
)
from arenatrace.trace.reader import open_trace
from tests.unit.capture.c_header import structs
from tests.unit.capture.kernel_blob import kernel
from tests.unit.capture.make_notes import KERN_VM, PTR
from tests.unit.capture.make_records import event, records
from tests.unit.capture.ring_file import RingFile

USER = 0x7F00_1000_0000


def test_an_output_that_exists_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="exists already") as caught:
        check_output(tmp_path)
    assert "-o" in caught.value.hint


def test_a_dangling_link_is_refused(tmp_path: Path) -> None:
    link = tmp_path / "link.atrace"
    link.symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="exists already"):
        check_output(link)


@pytest.mark.parametrize("parent", ["none", "file"])
def test_an_output_without_a_directory_is_refused(tmp_path: Path, parent: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="does not exist") as caught:
        check_output(tmp_path / parent / "run.atrace")
    assert caught.value.hint == f"mkdir -p {tmp_path / parent}"


def test_a_directory_that_is_not_ours_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, _mode: path != tmp_path)
    with pytest.raises(UsageError, match="cannot be written to"):
        check_output(tmp_path / "run.atrace")


def test_a_command_that_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError, match="cannot start no-such-command: no such program"):
        check_command(("no-such-command", "-x"))


def test_a_command_that_cannot_be_run_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot start the command: its name is empty"):
        check_command(("",))
    with pytest.raises(UsageError, match="it is a directory"):
        check_command((str(tmp_path),))
    script = tmp_path / "run"
    script.write_text("true")
    script.chmod(0o644)
    with pytest.raises(UsageError, match=f"cannot start {script}: it is not executable") as caught:
        check_command((str(script),))
    assert caught.value.hint.startswith(f"chmod +x {script}")


@pytest.mark.parametrize("command", [(), ("sh",), ("/bin/sh", "-c", "x")])
def test_a_command_that_is_there_is_fine(command: tuple[str, ...]) -> None:
    check_command(command)


def test_a_new_name_is_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_output(tmp_path / "run.atrace")
    monkeypatch.chdir(tmp_path)
    check_output(Path("run.atrace"))


def test_signal_handlers_are_put_back() -> None:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    # a shell starts its background jobs with SIGINT ignored
    found = [signal.signal(number, signal.SIG_DFL) for number in numbers]
    try:
        with Stops() as stops:
            for number in numbers:
                signal.raise_signal(number)
        assert (stops.heard, stops.by_interrupt) == (3, True)
        assert [signal.getsignal(number) for number in numbers] == [signal.SIG_DFL] * 3
    finally:
        for number, handler in zip(numbers, found, strict=True):
            signal.signal(number, handler)


def test_a_signal_that_was_ignored_stays_ignored() -> None:
    """So it is under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Stops() as stops:
            signal.raise_signal(signal.SIGHUP)
        assert stops.heard == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def _head(kind: NoteType, ts_ns: int, key: int, size: int, flags: int = 0) -> bytearray:
    raw = bytearray(size)
    struct.pack_into("<IIQQ", raw, 0, kind, flags, ts_ns, key)
    return raw


def _arena_note(ts_ns: int) -> bytes:
    raw = _head(NoteType.ARENA, ts_ns, PTR, structs()["at_note_arena"].size)
    struct.pack_into("<QQ", raw, 24, KERN_VM, USER)
    return bytes(raw)


class _FakeProbes:
    """Probes whose rings are files; ``late`` happens when they are stopped."""

    def __init__(self) -> None:
        self.ring_sizes = RingSizes(4096, 4096)
        self.rings = {"events": RingFile(4096), "notes": RingFile(4096)}
        self.attached = [point.function for point in POINTS if point.function != "free_module"]
        self.refused = {"free_module": "not today"}
        self.lost: dict[Kind, int] = {}
        self.late: list[dict[str, Any]] = []
        self.closed = 0
        self.switched: list[bool] = []
        self.doubt: StackDoubt | None = None

    def send(self, *values: dict[str, Any]) -> None:
        """Put events into their ring."""
        for record in records(*values):
            assert self.rings["events"].produce(record.tobytes()[HEADER_BYTES:])

    def attach(self) -> None:
        """Attach nothing."""

    def set_recording(self, on: bool) -> None:
        """Start, or stop: what was on its way arrives."""
        self.switched.append(on)
        if not on:
            self.send(*self.late)

    def run_iterators(self) -> None:
        """Enumerate nothing."""
        assert self.switched == [True]

    def map_fd(self, name: str) -> int:
        """The ring's file."""
        return self.rings[name].fd

    def open_callbacks(self, takers: dict[str, Callable[[bytes], None]]) -> None:
        """Remember who takes what."""
        self.takers = takers

    def consume(self) -> None:
        """Call back for every record, as libbpf does: ring by ring, up to one not finished."""
        for name, take in self.takers.items():
            for record in self.rings[name].open().notes():
                take(record)

    def own_program_ids(self) -> set[int]:
        """No programs."""
        return set()

    def recursion_misses(self) -> dict[str, int]:
        """One probe was skipped twice before the recording, and twice in it."""
        return {"kfunc__x": 4 if self.switched else 2}

    def lost_events(self) -> dict[int, list[tuple[int, int, int]]]:
        """Running totals, as the per-CPU counters give them."""
        return {int(kind): [(count, 10, 20)] for kind, count in self.lost.items()}

    def lost_notes(self) -> dict[str, int]:
        """One note was lost."""
        return {LOST_NOTES: 1}

    def stack_doubt(self) -> StackDoubt | None:
        """What a test says of remembered stacks."""
        return self.doubt

    def stack_uses(self) -> dict[str, int]:
        """Stacks were asked for."""
        return {"recognised": 3000, "walked": 20, "learned": 9, "checked": 1}

    def close(self) -> None:
        """Detach."""
        self.closed += 1


@pytest.fixture
def probes() -> _FakeProbes:
    return _FakeProbes()


@pytest.fixture
def short_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """An arena that outlives the command by more than 0.1 s stays."""
    monkeypatch.setattr(session_module, "LINGER_S", 0.1)


def _run(probes: _FakeProbes, plan: Plan) -> Result:
    states = [PointState(point, True) for point in POINTS]
    session = Session(plan, cast(Probes, probes), Kernel(kernel(), {}, states))
    return session.run()


def _events(path: Path) -> list[dict[str, Any]]:
    return open_trace(path).scan("events").collect().to_dicts()


def test_a_recording_from_start_to_seal(probes: _FakeProbes, tmp_path: Path) -> None:
    probes.rings["notes"].produce(_arena_note(900))
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
    result = _run(probes, Plan(path, duration_s=0.01))

    rows = _events(path)
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


def test_losses_are_rows_once(probes: _FakeProbes, tmp_path: Path) -> None:
    """Totals only grow: each look adds what is new, and the sum is the total."""
    path = tmp_path / "run.atrace"
    probes.lost = {Kind.PAGE_ALLOC: 5}

    def more(_progress: object) -> None:
        probes.lost = {Kind.PAGE_ALLOC: 9, Kind.PROG_FAULT: 1}

    result = _run(probes, Plan(path, duration_s=0.01, on_progress=more))
    lost = [(row["ret"], row["pages"]) for row in _events(path) if row["kind"] == Kind.LOST]
    assert lost == [(Kind.PAGE_ALLOC, 5), (Kind.PAGE_ALLOC, 4), (Kind.PROG_FAULT, 1)]
    assert (result.lost["page_alloc"], result.lost["prog_fault"]) == (9, 1)


def test_recognised_stacks_that_may_be_wrong_are_a_loss(
    probes: _FakeProbes, tmp_path: Path
) -> None:
    now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    probes.doubt = StackDoubt(127, now + 3_000_000_000)
    result = _run(probes, Plan(tmp_path / "run.atrace", duration_s=0.01))
    assert result.lost[DOUBTFUL_STACKS] == 127
    (notice,) = [each for each in result.notices if "taken for another" in each]
    until = re.search(r" (\S+) s after the beginning: .* 127 may ", notice)
    assert until is not None
    assert 2 < float(until[1]) <= 3


def test_the_commands_end_is_the_recordings(probes: _FakeProbes, tmp_path: Path) -> None:
    result = _run(probes, Plan(tmp_path / "run.atrace", command=("sh", "-c", "exit 7")))
    assert result.command_status == 7
    assert open_trace(result.path).meta.command_status == 7


def test_the_end_of_the_commands_arenas_is_seen(probes: _FakeProbes, tmp_path: Path) -> None:
    """The kernel destroys an arena some time after the last process that had it open ended."""
    probes.send(event(Kind.ARENA_CREATE, arena=PTR, ts_ns=1001))
    destroy = event(Kind.ARENA_DESTROY, arena=PTR, ts_ns=1002)
    later = threading.Timer(0.4, probes.send, [destroy])
    later.start()
    result = _run(probes, Plan(tmp_path / "run.atrace", command=("true",)))
    later.join()
    assert result.counts[Kind.ARENA_DESTROY] == 1


@pytest.mark.usefixtures("short_wait")
def test_an_arena_that_stays_is_not_waited_for_forever(probes: _FakeProbes, tmp_path: Path) -> None:
    probes.send(event(Kind.ARENA_CREATE, arena=PTR, ts_ns=1001))
    path = _run(probes, Plan(tmp_path / "run.atrace", command=("true",))).path
    assert open_trace(path).meta.sealed


def test_a_command_that_goes_on_is_ended(probes: _FakeProbes, tmp_path: Path) -> None:
    plan = Plan(tmp_path / "run.atrace", duration_s=0.01, command=("sleep", "600"))
    assert _run(probes, plan).command_status == -signal.SIGTERM


def test_a_command_that_cannot_be_started(probes: _FakeProbes, tmp_path: Path) -> None:
    path = tmp_path / "run.atrace"
    with pytest.raises(UsageError, match="cannot start no-such-command"):
        _run(probes, Plan(path, command=("no-such-command",)))
    assert not open_trace(path).meta.sealed


def test_a_signal_ends_the_recording_with_a_sealed_trace(
    probes: _FakeProbes, tmp_path: Path
) -> None:
    path = tmp_path / "run.atrace"
    _run(probes, Plan(path, on_progress=lambda _progress: signal.raise_signal(signal.SIGINT)))
    assert open_trace(path).meta.sealed


def test_a_missing_point_is_in_the_trace(probes: _FakeProbes, tmp_path: Path) -> None:
    path = tmp_path / "run.atrace"
    _run(probes, Plan(path, duration_s=0.01))
    meta = open_trace(path).meta
    assert meta.probes is not None
    assert [probe.point for probe in meta.probes.missing] == ["free_module"]


def test_events_wait_for_a_note_that_is_still_being_written(
    probes: _FakeProbes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its CPU reserved it first; what comes behind it in the ring is not read yet either."""
    monkeypatch.setattr(session_module, "FLUSH_S", 0.2)
    monkeypatch.setattr(session_module, "PROGRESS_S", 0.2)
    notes = probes.rings["notes"]
    slow = notes.reserve(len(_arena_note(900)))
    assert slow is not None
    probes.send(event(Kind.ARENA_CREATE, arena=PTR, ts_ns=1001))
    seen: list[int] = []

    def finish(progress: Progress) -> None:
        seen.append(progress.counts[Kind.ARENA_CREATE])
        if len(seen) == 1:
            notes.commit(slow, _arena_note(900))

    path = tmp_path / "run.atrace"
    _run(probes, Plan(path, duration_s=0.3, on_progress=finish))
    (arena,) = open_trace(path).scan("arenas").collect().to_dicts()
    assert seen == [0, 1]
    assert (arena["ptr"], arena["user_vm_start"]) == (PTR, USER)


def test_a_look_takes_all_that_is_ready(
    probes: _FakeProbes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In as many passes as that takes: what a flush leaves in the ring dies with the recorder."""
    monkeypatch.setattr(drain, "PASS_EVENTS", 2)
    probes.send(*[event(Kind.ARENA_DESTROY, arena=PTR + at) for at in range(7)])
    seen: list[int] = []
    plan = Plan(
        tmp_path / "run.atrace",
        duration_s=0.01,
        on_progress=lambda progress: seen.append(progress.counts[Kind.ARENA_DESTROY]),
    )
    _run(probes, plan)
    assert seen[0] == 7


def test_records_that_never_get_finished_are_counted(
    probes: _FakeProbes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain, "STRAGGLERS_S", 0.05)
    probes.send(event(Kind.ARENA_DESTROY, arena=PTR))
    probes.rings["events"].reserve(EVENT_SIZE)
    probes.send(event(Kind.ARENA_DESTROY, arena=PTR + 1), event(Kind.ARENA_DESTROY, arena=PTR + 2))
    path = tmp_path / "run.atrace"
    result = _run(probes, Plan(path, duration_s=0.01))
    assert len(_events(path)) == 1
    assert result.lost["unfinished events"] == 3
    assert open_trace(path).meta.lost["unfinished events"] == 3


def test_a_second_interrupt_does_not_cut_the_sealing_short(
    probes: _FakeProbes, tmp_path: Path
) -> None:
    path = tmp_path / "run.atrace"

    def interrupt(text: str) -> None:
        if text in ("recording", "sealing"):
            signal.raise_signal(signal.SIGINT)

    _run(probes, Plan(path, on_status=interrupt))
    meta = open_trace(path).meta
    assert meta.sealed
    assert meta.lost == {"missed by kfunc__x": 2, "notes": 1}


def test_a_command_that_heard_of_the_end_is_left_to_finish(
    probes: _FakeProbes, tmp_path: Path
) -> None:
    """Ctrl-C reaches it from the terminal: its own exit status is its own affair."""
    pressed: list[int] = []

    def once(_progress: object) -> None:
        if not pressed:
            pressed.append(1)
            signal.raise_signal(signal.SIGINT)

    command = ("sh", "-c", "sleep 1; exit 3")
    plan = Plan(tmp_path / "run.atrace", command=command, on_progress=once)
    assert _run(probes, plan).command_status == 3


def test_asked_twice_it_is_told_to_end(probes: _FakeProbes, tmp_path: Path) -> None:
    def twice(_progress: object) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    plan = Plan(tmp_path / "run.atrace", command=("sleep", "600"), on_progress=twice)
    assert _run(probes, plan).command_status == -signal.SIGTERM


class _Full:
    """A disk that has no room left from the moment a test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: int = errno.ENOSPC) -> None:
        self.full = False
        write = os.writev

        def writev(descriptor: int, pieces: list[memoryview]) -> int:
            if self.full:
                raise OSError(error, os.strerror(error))
            return write(descriptor, pieces)

        monkeypatch.setattr(os, "writev", writev)


@pytest.mark.parametrize(
    ("error", "why"), [(errno.ENOSPC, "no space left"), (errno.EIO, "cannot be written: Input")]
)
def test_a_disk_that_fails_does_not_end_the_command(
    probes: _FakeProbes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: int,
    why: str,
) -> None:
    disk = _Full(monkeypatch, error)
    probes.send(event(Kind.ARENA_CREATE, arena=PTR, ts_ns=1001))
    path, went_on = tmp_path / "run.atrace", tmp_path / "went-on"
    said: list[tuple[str, bool, int]] = []

    def fill(progress: Progress) -> None:
        if progress.elapsed_s > 0:  # what was sent before is flushed by then
            disk.full = True
            probes.send(event(Kind.ARENA_DESTROY, arena=PTR, ts_ns=1002))
            probes.lost = {Kind.PAGE_ALLOC: 5}

    plan = Plan(
        path,
        command=("sh", "-c", f"sleep 2.5; touch {went_on}; exit 7"),
        on_progress=fill,
        on_status=lambda text: said.append((text, went_on.exists(), probes.closed)),
    )
    with pytest.raises(IncompleteError, match=why):
        _run(probes, plan)
    # said when it happened, not when the command ended, of which all is known
    assert [text for text, ended, _ in said if "the command goes on" in text and not ended]
    assert said[-1] == ("the command ended with status 7", True, 1)
    # nothing was recorded, nor were probes attached, while it went on
    assert probes.switched == [True, False]
    trace = open_trace(path)
    assert not trace.meta.sealed
    assert any(why in notice for notice in trace.notices)
    assert (trace.meta.command_status, trace.meta.lost["page_alloc"]) == (7, 5)
    assert [row["kind"] for row in _events(path)] == [Kind.ARENA_CREATE]


def test_a_command_whose_recording_failed_can_still_be_interrupted(
    probes: _FakeProbes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = _Full(monkeypatch)
    said: list[str] = []

    def fill(progress: Progress) -> None:
        if progress.elapsed_s > 0:
            disk.full = True
            probes.send(event(Kind.ARENA_DESTROY, arena=PTR, ts_ns=1002))

    def interrupt(text: str) -> None:
        said.append(text)
        if text.endswith("the command goes on"):
            signal.raise_signal(signal.SIGTERM)

    plan = Plan(
        tmp_path / "run.atrace", command=("sleep", "600"), on_progress=fill, on_status=interrupt
    )
    with pytest.raises(IncompleteError, match="no space left"):
        _run(probes, plan)
    assert said[-1] == "the command was ended by signal 15"


def test_a_fault_of_the_recorder_does_not_end_the_command(
    probes: _FakeProbes, tmp_path: Path
) -> None:
    """Nor is it hidden: the trace says it, and it is raised once the command has ended."""

    def break_down(_progress: object) -> None:
        raise RuntimeError("broken")

    path = tmp_path / "run.atrace"
    plan = Plan(path, command=("sh", "-c", "sleep 0.3; exit 7"), on_progress=break_down)
    with pytest.raises(RuntimeError, match="broken"):
        _run(probes, plan)
    meta = open_trace(path).meta
    assert meta.command_status == 7
    assert "recording stopped: broken" in meta.notices


def test_a_fault_that_comes_again_and_again_does_not_end_the_command_either(
    probes: _FakeProbes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What fails while the trace is given up hides nothing, and ends nobody."""

    def fail(*_arguments: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(probes, "lost_events", fail)
    monkeypatch.setattr(probes, "close", fail)
    path = tmp_path / "run.atrace"
    plan = Plan(path, command=("sh", "-c", "sleep 1.5; exit 7"))
    with pytest.raises(OSError, match="Cannot allocate memory"):
        _run(probes, plan)
    assert open_trace(path).meta.command_status == 7


@pytest.mark.parametrize("why", ["refused", "asked"])
def test_rings_that_cannot_be_mapped_give_the_same_trace(
    probes: _FakeProbes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    def refuse(_fd: int, _size: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    if why == "asked":
        monkeypatch.setenv(rings.UNMAPPED, "1")
    else:
        monkeypatch.setattr(rings, "MappedRing", refuse)
    probes.rings["notes"].produce(_arena_note(900))
    probes.rings["notes"].produce(b"not a note")
    probes.send(
        event(Kind.ARENA_CREATE, arena=PTR, ts_ns=1001),
        event(Kind.PAGE_ALLOC, arena=PTR, ts_ns=1002, addr=0, ret=USER + 0x1000),
    )
    probes.late = [event(Kind.PAGE_FREE, arena=PTR, ts_ns=1003, addr=USER)]
    said: list[str] = []
    path = tmp_path / "run.atrace"
    result = _run(probes, Plan(path, duration_s=0.01, on_status=said.append))
    rows = [(row["kind"], row["arena"], row["pgoff"], row["comm"]) for row in _events(path)]
    assert rows == [
        (Kind.ARENA_CREATE, 0, None, "task"),
        (Kind.PAGE_ALLOC, 0, 1, "task"),
        (Kind.PAGE_FREE, 0, 0, "task"),
    ]
    (notice,) = [each for each in result.notices if "cannot be mapped" in each]
    assert {"asked": "is set", "refused": "Operation not permitted"}[why] in notice
    assert notice in said
    assert notice in open_trace(path).meta.notices


def test_called_back_events_wait_for_the_notes_of_the_next_call(
    probes: _FakeProbes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(rings.UNMAPPED, "1")
    opened = rings.open_rings(cast(Probes, probes))
    slow = probes.rings["notes"].reserve(4)
    assert slow is not None
    probes.rings["notes"].produce(b"of the event")
    probes.send(event(Kind.ARENA_CREATE, arena=PTR))
    opened.pump()
    assert list(opened.notes.notes()) == []
    assert opened.events.produced == 0
    probes.rings["notes"].commit(slow, b"slow")
    opened.pump()
    assert list(opened.notes.notes()) == [b"slow", b"of the event"]
    got, position = opened.events.events(opened.events.produced)
    assert got["arena"].tolist() == [PTR]
    opened.events.advance(position)
    assert opened.events.consumed == opened.events.produced
