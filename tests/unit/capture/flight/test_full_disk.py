"""A flight recorder on a full disk, and a sealer that fails."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from arenatrace.capture.flight import sealer as flight_sealer
from arenatrace.capture.flight.folder import SEGMENTS, FlightFolder
from arenatrace.capture.flight.plan import flight_plan
from arenatrace.capture.flight.sealer import FlightSealer, Window
from arenatrace.capture.flight.writer import NO_ROOM
from arenatrace.schema import Kind
from arenatrace.trace import seal, writer
from tests.unit.capture.flight.flight import START, Flight, batch, times


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


def test_flight_recorder_survives_a_full_disk(flight: Flight, disk: Disk) -> None:
    recorder = flight.open()
    arena = {"arena": 0, "ptr": 1, "generation": 0, "create_ts_ns": START, "preexisting": False}
    recorder.append("arenas", batch("arenas", arena))
    flight.wait(30)
    new_files = flight.new_files
    disk.full = True
    flight.wait(9)
    # what else was lost meanwhile is no event without room
    recorder.update_meta(lost={"page_alloc": 3})
    flight.event(Kind.LOST, ret=int(Kind.PAGE_ALLOC), pages=3)
    flight.wait(1)
    assert len(flight.statuses) == 1
    assert "no space left on the device: recording pauses until there is" in flight.statuses[0]
    # its space is freed
    assert list((flight.folder / SEGMENTS).glob("*.atrace")) == []
    disk.full = False
    flight.wait(5)
    assert flight.statuses[1:] == [f"{flight.folder}: space is available again: recording"]
    assert flight.new_files > new_files
    flight.event(Kind.KERNEL_FAULT)
    flight.wait(2)
    recorder.close()
    (window,) = flight.windows()
    # it begins when space was available again, with the objects live at that time
    assert times(window) == (42, 47)
    assert any("the disk was full before" in notice for notice in window.warnings)
    assert window.scan("arenas").collect()["ptr"].to_list() == [1]
    assert recorder.lost == {NO_ROOM: 11}
    assert any("the disk was full for some time" in notice for notice in recorder.notices)


def test_unsealed_window_is_retained_on_a_full_disk(flight: Flight, disk: Disk) -> None:
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


def test_sealer_continues_after_any_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_segments_of_an_unsealed_window_do_not_evict_each_other(
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
