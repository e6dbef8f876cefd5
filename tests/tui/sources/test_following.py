"""Following a trace: counts do not wait for the diagnosis."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import polars as pl
import pytest

from arenatrace.analysis.live.snapshot import WindowSnapshot
from arenatrace.analysis.live.window import LiveWindow
from arenatrace.errors import ArenatraceError
from arenatrace.tui.snapshot import Snapshot
from arenatrace.tui.sources.following import FollowSource
from tests.tui.growing import Growing

_TIMEOUT_S = 30.0


def _until(condition: threading.Event) -> None:
    assert condition.wait(_TIMEOUT_S)


def _block_diagnosis(monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, threading.Event]:
    """Make the diagnosis set the first event when it starts and wait for the second."""
    busy, go_on = threading.Event(), threading.Event()
    diagnosed = WindowSnapshot.diagnosed

    def slow(window: WindowSnapshot) -> pl.DataFrame:
        if window.fault_count:
            busy.set()
            _until(go_on)
        return diagnosed(window)

    monkeypatch.setattr(WindowSnapshot, "diagnosed", slow)
    return busy, go_on


def test_snapshots_are_published_during_diagnosis(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    growing = Growing(tmp_path / "run.atrace")
    diagnosed = threading.Event()
    busy, go_on = _block_diagnosis(monkeypatch)
    seen: list[Snapshot] = []

    def publish(snapshot: Snapshot) -> None:
        seen.append(snapshot)
        if snapshot.faults is not None and len(snapshot.faults) == 1:
            diagnosed.set()

    source = FollowSource(tmp_path / "run.atrace")
    source.start(publish)
    try:
        growing.use_after_free()
        growing.flush()
        _until(busy)
        before = len(seen)
        for number in range(2, 6):
            growing.use_after_free()
            growing.flush()
            end = time.monotonic() + _TIMEOUT_S
            while seen[-1].fault_count < number:
                assert time.monotonic() < end
                time.sleep(0.01)
        assert len(seen) >= before + 4
        assert not diagnosed.is_set()
        go_on.set()
        _until(diagnosed)
    finally:
        go_on.set()
        source.stop()


def test_backpressure_stops_reads_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    growing = Growing(tmp_path / "run.atrace")
    monkeypatch.setattr("arenatrace.analysis.live.retained.MAX_NEW_OPERATIONS", 10)
    came, full = threading.Event(), threading.Event()
    _busy, go_on = _block_diagnosis(monkeypatch)
    is_full: property = vars(LiveWindow)["is_full"]

    def watched(window: LiveWindow) -> bool:
        found: bool = is_full.__get__(window)
        if found:
            full.set()
        return found

    monkeypatch.setattr(LiveWindow, "is_full", property(watched))
    seen: list[Snapshot] = []

    def publish(snapshot: Snapshot) -> None:
        seen.append(snapshot)
        diagnosed = snapshot.faults is not None and len(snapshot.faults) == 100
        if diagnosed and snapshot.fault_count == 100:
            came.set()

    source = FollowSource(tmp_path / "run.atrace")
    source.start(publish)
    try:
        for number in range(1, 21):
            for _ in range(5):
                growing.use_after_free()
            growing.flush()
            # each batch is read before the next is written, until two windows are full
            end = time.monotonic() + _TIMEOUT_S
            while seen[-1].fault_count < number * 5 and not full.is_set():
                assert time.monotonic() < end
                time.sleep(0.01)
        assert full.is_set()
        before = len(seen)
        end = time.monotonic() + _TIMEOUT_S
        while len(seen) < before + 3:
            assert time.monotonic() < end, "no snapshots while reading pauses"
            time.sleep(0.01)
        assert 10 <= seen[-1].fault_count < 100
        go_on.set()
        _until(came)
        assert seen[-1].fault_count == 100
    finally:
        go_on.set()
        source.stop()


def test_internal_error_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    growing = Growing(tmp_path / "run.atrace")
    shown = threading.Event()
    last: list[Snapshot] = []

    def broken(_window: WindowSnapshot) -> pl.DataFrame:
        raise ValueError("made to fail")

    def publish(snapshot: Snapshot) -> None:
        last.append(snapshot)
        if snapshot.error:
            shown.set()

    monkeypatch.setattr(WindowSnapshot, "diagnosed", broken)
    source = FollowSource(tmp_path / "run.atrace")
    source.start(publish)
    growing.use_after_free()
    growing.flush()
    _until(shown)
    assert last[-1].error == "internal error: ValueError: made to fail"
    assert last[-1].recording is not None
    assert not last[-1].recording.running


def test_queries_fail_before_the_start(tmp_path: Path) -> None:
    """A view may query while the recorder still creates the trace."""
    source = FollowSource(tmp_path / "t.atrace")
    with pytest.raises(ArenatraceError, match="nothing has been read yet"):
        source.programs()


def test_a_panic_while_diagnosing_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A polars panic is not an Exception, but it must not end a thread silently."""
    growing = Growing(tmp_path / "run.atrace")
    growing.use_after_free()
    growing.flush()
    shown, errors = threading.Event(), []

    def panics(_window: WindowSnapshot) -> pl.DataFrame:
        raise pl.exceptions.PanicException("index out of bounds")

    def publish(snapshot: Snapshot) -> None:
        if snapshot.error:
            errors.append(snapshot.error)
            shown.set()

    monkeypatch.setattr(WindowSnapshot, "diagnosed", panics)
    source = FollowSource(tmp_path / "run.atrace")
    source.start(publish)
    _until(shown)
    assert errors[0] == "internal error: PanicException: index out of bounds"


def test_single_panic_is_retried_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    growing = Growing(tmp_path / "run.atrace")
    growing.use_after_free()
    growing.flush()
    diagnosed, panics, shown = WindowSnapshot.diagnosed, [1], threading.Event()

    def panics_once(window: WindowSnapshot) -> pl.DataFrame:
        if panics:
            raise pl.exceptions.PanicException(panics.pop())
        return diagnosed(window)

    def publish(snapshot: Snapshot) -> None:
        listed = snapshot.faults is not None and len(snapshot.faults) == 1
        if listed and any("polars failed 1 time(s)" in warning for warning in snapshot.warnings):
            shown.set()

    monkeypatch.setattr(WindowSnapshot, "diagnosed", panics_once)
    source = FollowSource(tmp_path / "run.atrace")
    source.start(publish)
    _until(shown)
    source.stop()
