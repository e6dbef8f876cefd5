"""Flight recorder under a fake clock: retention, sealing and dropped windows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from arenatrace.capture.flight.folder import SEGMENTS, FlightFolder, check_folder
from arenatrace.capture.flight.plan import AFTER_S, FlightPlan, flight_plan, parse_duration
from arenatrace.errors import UsageError
from arenatrace.schema import Kind
from arenatrace.trace.reader import open_trace
from tests.unit.capture.flight.flight import START, Flight, S, batch, times


def test_no_window_is_sealed_without_a_fault(flight: Flight) -> None:
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


def test_window_around_a_fault_is_sealed_while_recording_continues(flight: Flight) -> None:
    flight.open()
    flight.wait(60)
    flight.event(Kind.KERNEL_FAULT)
    flight.wait(30)
    flight.writer.close()
    (window,) = flight.windows()
    assert window.meta.sealed
    first, last = times(window)
    assert 36 <= first <= 41
    assert last == 60 + AFTER_S
    assert window.meta.start_ts_ns >= START + 35 * S
    assert window.meta.end_ts_ns == START + 65 * S
    seqs = window.scan("events").collect()["seq"].to_list()
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
    (notice,) = window.warnings
    before = (60 * S - (window.meta.start_ts_ns - START)) / S
    assert notice == f"a flight recorder's window: it begins {before:.1f} s before its first fault"
    assert window.path.name.startswith("fault-")
    assert window.path.stat().st_mode & 0o777 == 0o700


def test_close_faults_share_a_window(flight: Flight) -> None:
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
    assert times(window)[1] == 30 + 3 + 4 + AFTER_S
    kinds = window.scan("events").collect()["kind"].to_list()
    assert kinds.count(Kind.KERNEL_FAULT) == 2
    assert kinds.count(Kind.PROG_FAULT) == 1


def test_continuous_faults_are_split_into_windows(flight: Flight) -> None:
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
    assert all(times(window)[1] - times(window)[0] <= 20 + AFTER_S + 20 + 5 for window in windows)


def test_fault_just_before_the_end_is_sealed(flight: Flight) -> None:
    flight.open()
    flight.wait(7)
    flight.event(Kind.KERNEL_FAULT)
    flight.writer.flush()
    flight.writer.update_meta(end_ts_ns=flight.now, command_status=3)
    flight.writer.close()
    (window,) = flight.windows()
    assert window.meta.end_ts_ns == flight.now
    assert window.meta.command_status == 3


def test_every_window_has_arenas_and_programs(flight: Flight) -> None:
    flight.open()
    arena = {"arena": 0, "ptr": 77, "name": "old", "preexisting": False}
    flight.writer.append("arenas", batch("arenas", {**arena, "create_ts_ns": flight.now}))
    prog = {"prog": 0, "id": 5, "name": "p", "lines": [], "funcs": [], "preexisting": True}
    flight.writer.append("programs", batch("programs", prog))
    gone = {"arena": 1, "ptr": 78, "preexisting": False, "create_ts_ns": flight.now}
    flight.writer.append("arenas", batch("arenas", gone))
    flight.wait(2)
    flight.writer.append("arenas", batch("arenas", {"arena": 1, "destroy_ts_ns": flight.now}))
    flight.wait(50)
    # learned late, about something old
    flight.writer.append("arenas", batch("arenas", {"arena": 0, "map_id": 9}))
    born = flight.now
    flight.writer.append(
        "arenas",
        batch("arenas", {"arena": 2, "ptr": 79, "preexisting": False, "create_ts_ns": born}),
    )
    flight.wait(8)
    flight.event(Kind.KERNEL_FAULT)
    flight.writer.close()
    (window,) = flight.windows()
    arenas = window.scan("arenas").collect().to_dicts()
    found = {row["arena"]: (row["name"], row["map_id"], row["preexisting"]) for row in arenas}
    # the old one was there before the window, the new one was not, the one long gone is no more
    assert found == {0: ("old", 9, True), 2: (None, None, False)}
    assert arenas[0]["create_ts_ns"] == START
    (program,) = window.scan("programs").collect().to_dicts()
    assert (program["name"], program["preexisting"]) == ("p", True)


def test_losses_belong_to_their_window(flight: Flight) -> None:
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


def test_every_window_has_the_limits_of_the_recording(flight: Flight) -> None:
    flight.open()
    flight.writer.update_meta(notices=("a probe was refused",))
    flight.wait(50)
    flight.event(Kind.KERNEL_FAULT)
    flight.writer.close()
    (window,) = flight.windows()
    assert window.warnings.count("a probe was refused") == 1


def test_oldest_windows_are_dropped_for_space(flight: Flight) -> None:
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
    assert times(windows[-1])[1] == 85


def test_event_storm_shortens_the_retention_and_warns(
    flight: Flight, monkeypatch: pytest.MonkeyPatch
) -> None:
    flight.plan = FlightPlan(20.0, max_bytes=64 << 10)
    flight.open()
    for _ in range(60):
        flight.now += S
        rows = [
            {"ts_ns": flight.now, "seq": flight.seq + n, "kind": int(Kind.PAGE_ALLOC)}
            for n in range(40)
        ]
        flight.seq += 40
        flight.writer.append("events", batch("events", *rows))
        flight.writer.flush()
    flight.event(Kind.KERNEL_FAULT)
    flight.writer.close()
    (window,) = flight.windows()
    first, _last = times(window)
    assert first > 41
    assert any("the retained time is shorter than --keep" in line for line in window.warnings)


@pytest.mark.parametrize("torn", [0, 3])
def test_next_recorder_seals_the_segments_of_a_killed_one(flight: Flight, torn: int) -> None:
    flight.open()
    flight.wait(12)
    # killed: the kernel drops the lock, the writer closes nothing
    flight.locked.close()
    last = max((flight.folder / SEGMENTS).glob("0*.atrace"))
    if torn:
        os.truncate(last / "events.arrows", (last / "events.arrows").stat().st_size - torn)
    folder = FlightFolder(flight.folder)
    made = folder.salvage()
    assert made is not None
    assert made.name.startswith("interrupted-")
    trace = open_trace(made)
    assert "the recorder was killed, or the machine went down" in trace.warnings
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


def test_foreign_folders_are_refused(tmp_path: Path) -> None:
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
def test_invalid_times_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a time between 1s and 24h"):
        parse_duration(text, "--keep")


def test_too_small_max_size_is_refused() -> None:
    with pytest.raises(UsageError, match="too little to keep anything"):
        flight_plan("60s", 20, "1M")
    assert flight_plan("60s", 3, "100M") == FlightPlan(60.0, 3, 100 << 20)
