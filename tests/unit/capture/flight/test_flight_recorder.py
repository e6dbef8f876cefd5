"""The flight recorder: what is kept, what is sealed, and what goes, by a clock of the tests."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from arenatrace.capture.flight import sealer as flight_sealer
from arenatrace.capture.flight import writer as flight_writer
from arenatrace.capture.flight.folder import SEGMENTS, FlightFolder, check_folder
from arenatrace.capture.flight.plan import AFTER_S, FlightPlan, flight_plan, parse_duration
from arenatrace.capture.flight.sealer import FlightSealer, Window
from arenatrace.capture.flight.writer import NO_ROOM, FlightWriter
from arenatrace.errors import UsageError
from arenatrace.schema import Kind
from arenatrace.trace import seal, writer
from arenatrace.trace.arrow_schema import arrow_schema
from arenatrace.trace.meta import Meta
from arenatrace.trace.reader import Trace, open_trace

_S = 1_000_000_000
_START = 1000 * _S


def _batch(table: str, *rows: dict[str, Any]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(list(rows), schema=arrow_schema(table))


@dataclass
class Flight:
    """A writer, the clock it sees, and what it asked to be sent again."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    plan: FlightPlan = field(default_factory=lambda: FlightPlan(20.0))
    new_files: int = 0
    seq: int = 0
    now: int = _START
    said: list[str] = field(default_factory=list)

    def open(self) -> FlightWriter:
        """Begin to record."""
        self.monkeypatch.setattr(flight_writer, "now_ns", lambda: self.now)
        meta = Meta("7.2", start_ts_ns=_START, wall_offset_ns=10**18)
        self.writer = FlightWriter(
            FlightFolder(self.folder), meta, self.plan, self._again, self.said.append
        )
        return self.writer

    def _again(self) -> None:
        self.new_files += 1

    def event(self, kind: Kind = Kind.PAGE_ALLOC, **values: Any) -> None:
        """Something happens now."""
        row = {"ts_ns": self.now, "seq": self.seq, "kind": int(kind), "arena": 0, **values}
        self.writer.append("events", _batch("events", row))
        self.seq += 1

    def wait(self, seconds: int, *, events: bool = True) -> None:
        """Let time pass, with an event and a flush in every second."""
        for _ in range(seconds):
            self.now += _S
            if events:
                self.event()
            self.writer.flush()

    def hear(self, text: str) -> None:
        """Wait until the sealer's thread has said so."""
        until = time.monotonic() + 30
        while not any(text in line for line in self.said):
            assert time.monotonic() < until, self.said
            time.sleep(0.01)

    def windows(self) -> list[Trace]:
        """What is sealed, oldest first."""
        paths = self.folder.glob("*.atrace")
        return [open_trace(path) for path in sorted(paths, key=lambda path: path.stat().st_mtime)]


@pytest.fixture
def flight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Flight:
    for wait in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, wait, lambda _descriptor: None)
    return Flight(tmp_path / "flight", monkeypatch)


def _times(trace: Trace) -> tuple[int, int]:
    """First and last second of the events of a trace, since the start."""
    times = trace.scan("events").collect()["ts_ns"]
    return (times[0] - _START) // _S, (times[-1] - _START) // _S


def test_without_a_fault_nothing_is_kept(flight: Flight) -> None:
    flight.open()
    flight.wait(90)
    segments = sorted(path.name for path in (flight.folder / SEGMENTS).glob("*.atrace"))
    # 20 s in parts of 5, the one being written, and the one that is only just too old
    assert 5 <= len(segments) <= 6
    assert segments[0] != "000000000.atrace"
    flight.writer.close()
    assert flight.writer.windows == []
    assert list(flight.folder.iterdir()) == [flight.folder / SEGMENTS]
    assert [path.name for path in (flight.folder / SEGMENTS).iterdir()] == ["lock"]
    assert flight.new_files == 90 // 5


def test_the_time_around_a_fault_is_sealed_while_recording_goes_on(flight: Flight) -> None:
    flight.open()
    flight.wait(60)
    flight.event(Kind.KERNEL_FAULT)
    flight.wait(30)
    flight.writer.close()
    (window,) = flight.windows()
    assert window.meta.sealed
    first, last = _times(window)
    assert 36 <= first <= 41
    assert last == 60 + AFTER_S
    assert window.meta.start_ts_ns >= _START + 35 * _S
    assert window.meta.end_ts_ns == _START + 65 * _S
    seqs = window.scan("events").collect()["seq"].to_list()
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
    (notice,) = window.notices
    before = (60 * _S - (window.meta.start_ts_ns - _START)) / _S
    assert notice == f"a flight recorder's window: it begins {before:.1f} s before its first fault"
    assert window.path.name.startswith("fault-")
    assert window.path.stat().st_mode & 0o777 == 0o700


def test_faults_soon_after_each_other_share_a_window(flight: Flight) -> None:
    flight.open()
    flight.wait(30)
    flight.event(Kind.KERNEL_FAULT)
    flight.wait(3)
    flight.event(Kind.PROG_FAULT)
    flight.wait(4)
    flight.event(Kind.KERNEL_FAULT)
    flight.wait(20)
    flight.writer.close()
    (window,) = flight.windows()
    assert _times(window)[1] == 30 + 3 + 4 + AFTER_S
    kinds = window.scan("events").collect()["kind"].to_list()
    assert kinds.count(Kind.KERNEL_FAULT) == 2
    assert kinds.count(Kind.PROG_FAULT) == 1


def test_faults_that_do_not_stop_are_cut_into_windows(flight: Flight) -> None:
    flight.open()
    for _ in range(100):
        flight.event(Kind.KERNEL_FAULT)
        flight.wait(1)
    flight.writer.close()
    windows = flight.windows()
    assert len(windows) == 4
    faults = [
        seq
        for window in windows
        for seq in window.scan("events").collect().filter(kind=int(Kind.KERNEL_FAULT))["seq"]
    ]
    # none is missing; windows overlap, because each has its time before
    assert len(set(faults)) == 100
    assert all(_times(window)[1] - _times(window)[0] <= 20 + AFTER_S + 20 + 5 for window in windows)


def test_a_fault_just_before_the_end_is_kept(flight: Flight) -> None:
    flight.open()
    flight.wait(7)
    flight.event(Kind.KERNEL_FAULT)
    flight.writer.flush()
    flight.writer.update_meta(end_ts_ns=flight.now, command_status=3)
    flight.writer.close()
    (window,) = flight.windows()
    assert window.meta.end_ts_ns == flight.now
    assert window.meta.command_status == 3


def test_arenas_and_programs_are_in_every_window(flight: Flight) -> None:
    flight.open()
    arena = {"arena": 0, "ptr": 77, "name": "old", "preexisting": False}
    flight.writer.append("arenas", _batch("arenas", {**arena, "create_ts_ns": flight.now}))
    prog = {"prog": 0, "id": 5, "name": "p", "lines": [], "funcs": [], "preexisting": True}
    flight.writer.append("programs", _batch("programs", prog))
    gone = {"arena": 1, "ptr": 78, "preexisting": False, "create_ts_ns": flight.now}
    flight.writer.append("arenas", _batch("arenas", gone))
    flight.wait(2)
    flight.writer.append("arenas", _batch("arenas", {"arena": 1, "destroy_ts_ns": flight.now}))
    flight.wait(50)
    # learned late, about something old
    flight.writer.append("arenas", _batch("arenas", {"arena": 0, "map_id": 9}))
    born = flight.now
    flight.writer.append(
        "arenas",
        _batch("arenas", {"arena": 2, "ptr": 79, "preexisting": False, "create_ts_ns": born}),
    )
    flight.wait(8)
    flight.event(Kind.KERNEL_FAULT)
    flight.writer.close()
    (window,) = flight.windows()
    arenas = window.scan("arenas").collect().to_dicts()
    found = {row["arena"]: (row["name"], row["map_id"], row["preexisting"]) for row in arenas}
    # the old one was there before the window, the new one was not, the one long gone is no more
    assert found == {0: ("old", 9, True), 2: (None, None, False)}
    assert arenas[0]["create_ts_ns"] == _START
    (program,) = window.scan("programs").collect().to_dicts()
    assert (program["name"], program["preexisting"]) == ("p", True)


def test_losses_belong_to_the_windows_they_happened_in(flight: Flight) -> None:
    flight.open()
    flight.wait(3)
    flight.writer.update_meta(lost={"page_alloc": 5})
    flight.wait(50)
    flight.event(Kind.KERNEL_FAULT)
    flight.wait(1)
    flight.writer.update_meta(lost={"page_alloc": 7, "notes": 1})
    flight.wait(15)
    flight.event(Kind.KERNEL_FAULT)
    flight.wait(30)
    flight.event(Kind.KERNEL_FAULT)
    flight.writer.close()
    assert [window.lost for window in flight.windows()] == [
        {"page_alloc": 2, "notes": 1},
        {"page_alloc": 2, "notes": 1},
        {},
    ]


def test_what_the_whole_recording_cannot_know_is_in_every_window(flight: Flight) -> None:
    flight.open()
    flight.writer.update_meta(notices=("a probe was refused",))
    flight.wait(50)
    flight.event(Kind.KERNEL_FAULT)
    flight.writer.close()
    (window,) = flight.windows()
    assert window.notices.count("a probe was refused") == 1


def test_the_oldest_windows_make_room(flight: Flight) -> None:
    flight.plan = FlightPlan(4.0, max_windows=2)
    flight.open()
    for _ in range(4):
        flight.wait(20)
        flight.event(Kind.KERNEL_FAULT)
    flight.wait(20)
    flight.writer.close()
    assert flight.writer.dropped == 2
    assert len(flight.writer.windows) == 4
    windows = flight.windows()
    assert len(windows) == 2
    assert _times(windows[-1])[1] == 85


def test_a_storm_shortens_the_time_kept_and_says_so(
    flight: Flight, monkeypatch: pytest.MonkeyPatch
) -> None:
    flight.plan = FlightPlan(20.0, max_bytes=64 << 10)
    flight.open()
    for _ in range(60):
        flight.now += _S
        rows = [
            {"ts_ns": flight.now, "seq": flight.seq + n, "kind": int(Kind.PAGE_ALLOC)}
            for n in range(40)
        ]
        flight.seq += 40
        flight.writer.append("events", _batch("events", *rows))
        flight.writer.flush()
    flight.event(Kind.KERNEL_FAULT)
    flight.writer.close()
    (window,) = flight.windows()
    first, _last = _times(window)
    assert first > 41
    assert "there was no room for the whole time asked for (--max-size)" in window.notices


@pytest.mark.parametrize("torn", [0, 3])
def test_what_a_killed_recorder_left_is_sealed_by_the_next(flight: Flight, torn: int) -> None:
    flight.open()
    flight.wait(12)
    # killed: nothing is closed but by the kernel
    os.close(flight.writer._folder._lock)
    last = max((flight.folder / SEGMENTS).glob("0*.atrace"))
    if torn:
        os.truncate(last / "events.arrows", (last / "events.arrows").stat().st_size - torn)
    folder = FlightFolder(flight.folder)
    made = folder.salvage()
    assert made is not None
    assert made.name.startswith("interrupted-")
    trace = open_trace(made)
    assert "the recorder was killed, or the machine went down" in trace.notices
    seqs = trace.scan("events").collect()["seq"].to_list()
    assert seqs == list(range(12 - bool(torn)))
    assert ("torn tail" in trace.lost) == bool(torn)
    assert folder.salvage() is None
    folder.close()


def test_a_folder_has_one_recorder(flight: Flight) -> None:
    flight.open()
    with pytest.raises(UsageError, match="another recorder is using it"):
        FlightFolder(flight.folder)
    flight.writer.close()
    FlightFolder(flight.folder).close()


def test_other_peoples_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    (tmp_path / "empty").mkdir()
    (tmp_path / "trap").mkdir()
    (tmp_path / "trap" / SEGMENTS).symlink_to(tmp_path / "full")
    check_folder(tmp_path / "empty")
    check_folder(tmp_path / "new")
    for name, why in (
        ("full", "no flight recorder's folder"),
        ("file", "no directory"),
        ("link", "no directory"),
        ("trap", "no flight recorder's folder"),
        ("none/new", "does not exist"),
    ):
        with pytest.raises(UsageError, match=why):
            check_folder(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("60s", 60.0), ("60", 60.0), ("5m", 300.0), ("1.5m", 90.0), ("24h", 86400)],
)
def test_times(text: str, seconds: float) -> None:
    assert parse_duration(text, "--keep") == seconds


@pytest.mark.parametrize(
    "text", ["", "0", "0s", "0.5s", "25h", "-5s", "5 minutes", "\u0665s", "1e3", "s"]
)
def test_times_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="not a time between 1s and 24h"):
        parse_duration(text, "--keep")


def test_a_size_that_keeps_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="too little to keep anything"):
        flight_plan("60s", 20, "1M")
    assert flight_plan("60s", 3, "100M") == FlightPlan(60.0, 3, 100 << 20)


@dataclass
class Disk:
    """A disk that a test fills: no file on it grows, none begins."""

    monkeypatch: pytest.MonkeyPatch
    full: bool = False

    def __post_init__(self) -> None:
        for module, name in ((os, "writev"), (writer, "write_meta"), (seal, "_write_tables")):
            self.monkeypatch.setattr(module, name, self._guard(getattr(module, name)))

    def _guard(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(*words: Any, **options: Any) -> Any:
            if self.full:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(*words, **options)

        return guarded


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def test_a_full_disk_does_not_end_a_flight_recorder(flight: Flight, disk: Disk) -> None:
    recorder = flight.open()
    arena = {"arena": 0, "ptr": 1, "generation": 0, "create_ts_ns": _START, "preexisting": False}
    recorder.append("arenas", _batch("arenas", arena))
    flight.wait(30)
    new_files = flight.new_files
    disk.full = True
    flight.wait(9)
    # what else was lost meanwhile is no event without room
    recorder.update_meta(lost={"page_alloc": 3})
    flight.event(Kind.LOST, ret=int(Kind.PAGE_ALLOC), pages=3)
    flight.wait(1)
    assert len(flight.said) == 1
    assert "no space left on the device: nothing is kept until there is" in flight.said[0]
    # the room it had is given back
    assert list((flight.folder / SEGMENTS).glob("*.atrace")) == []
    disk.full = False
    flight.wait(5)
    assert flight.said[1:] == [f"{flight.folder}: there is room again: recording"]
    assert flight.new_files > new_files
    flight.event(Kind.KERNEL_FAULT)
    flight.wait(2)
    recorder.close()
    (window,) = flight.windows()
    # it begins when there was room again, and knows what was there by then
    assert _times(window) == (42, 47)
    assert any("the disk was full before" in notice for notice in window.notices)
    assert window.scan("arenas").collect()["ptr"].to_list() == [1]
    assert recorder.lost == {NO_ROOM: 11}
    assert any("the disk was full for some time" in notice for notice in recorder.notices)


def test_a_window_that_cannot_be_sealed_on_a_full_disk_is_kept_as_it_is(
    flight: Flight, disk: Disk
) -> None:
    recorder = flight.open()
    flight.wait(12)
    flight.event(Kind.PROG_FAULT)
    flight.wait(1)
    disk.full = True
    flight.wait(2)
    flight.hear("not sealed")
    disk.full = False
    flight.wait(2)
    recorder.close()
    parts = flight.windows()
    assert len(parts) > 1
    assert not any(part.meta.sealed for part in parts)
    kinds = [kind for part in parts for kind in part.scan("events").collect()["kind"]]
    assert kinds.count(int(Kind.PROG_FAULT)) == 1
    # all events of the time before, and none that came while it was full: up to the flush that
    # tried again
    assert len(kinds) == 14
    assert recorder.lost == {NO_ROOM: 3}
    assert any(f"it is in {len(parts)} parts" in notice for notice in recorder.notices)


def _segments(folder: FlightFolder, count: int) -> tuple[Path, ...]:
    made = []
    for number in range(count):
        segment = folder.segment(number)
        segment.mkdir()
        (segment / "number").write_text(str(number))
        made.append(segment)
    return tuple(made)


def test_the_sealer_goes_on_after_whatever_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = FlightFolder(tmp_path / "flight")
    sealer = FlightSealer(folder, flight_plan("60s", 3, "1G"), lambda _text: None)
    first, second = _segments(folder, 2)

    def fail(*_arguments: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(flight_sealer, "join", fail)
    monkeypatch.setattr(folder, "free_name", fail)
    sealer.seal(Window((first,), tmp_path / "flight" / "a.atrace", ()))
    sealer.seal(Window((second,), tmp_path / "flight" / "b.atrace", ()))
    sealer.close()
    assert [why.split(":")[0] for why in sealer.failures] == ["a.atrace", "b.atrace"]
    assert not sealer.needs(first)
    assert not sealer.needs(second)


def test_the_parts_of_an_unsealed_window_do_not_drive_each_other_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = FlightFolder(tmp_path / "flight")
    sealer = FlightSealer(folder, flight_plan("60s", 3, "1G"), lambda _text: None)

    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(flight_sealer, "join", full)
    sealer.seal(Window(_segments(folder, 6), folder.window(0), ()))
    sealer.close()
    assert len(folder.windows()) == 6
    assert sealer.dropped == 0
    assert len(sealer.failures) == 1
    assert sealer.failures[0].endswith("it is in 6 parts")
