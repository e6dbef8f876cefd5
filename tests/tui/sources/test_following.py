"""A trace that is followed: what is counted does not wait for what is diagnosed."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import polars as pl
import pytest

from arenatrace.analysis.live.snapshot import WindowSnapshot
from arenatrace.errors import ArenatraceError
from arenatrace.tui.snapshot import Snapshot
from arenatrace.tui.sources.following import FollowSource
from tests.tui.growing import Growing

_PATIENCE_S = 30.0


def _until(condition: threading.Event) -> None:
    assert condition.wait(_PATIENCE_S)


def _held_up(monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, threading.Event]:
    """Diagnosing of faults says that it began, and waits to be told to go on."""
    busy, go_on = threading.Event(), threading.Event()
    whole = WindowSnapshot.diagnosed

    def slow(held: WindowSnapshot) -> pl.DataFrame:
        if held.fault_count:
            busy.set()
            _until(go_on)
        return whole(held)

    monkeypatch.setattr(WindowSnapshot, "diagnosed", slow)
    return busy, go_on


def test_snapshots_come_while_faults_are_being_diagnosed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    growing = Growing(tmp_path / "run.atrace")
    diagnosed = threading.Event()
    busy, go_on = _held_up(monkeypatch)
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
            end = time.monotonic() + _PATIENCE_S
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


def test_nothing_is_taken_while_too_much_waits_and_all_of_it_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    growing = Growing(tmp_path / "run.atrace")
    monkeypatch.setattr("arenatrace.analysis.live.retained.MAX_NEW_OPERATIONS", 10)
    came = threading.Event()
    _busy, go_on = _held_up(monkeypatch)
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
            # two windows fill, after that nothing more is taken
            end = time.monotonic() + (_PATIENCE_S if number < 4 else 0.3)
            while seen[-1].fault_count < number * 5 and time.monotonic() < end:
                time.sleep(0.01)
        before = len(seen)
        end = time.monotonic() + _PATIENCE_S
        while len(seen) < before + 3:
            assert time.monotonic() < end, "a screen that seems to be dead"
            time.sleep(0.01)
        assert 10 <= seen[-1].fault_count < 100
        go_on.set()
        _until(came)
        assert seen[-1].fault_count == 100
    finally:
        go_on.set()
        source.stop()


def test_whatever_goes_wrong_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    growing = Growing(tmp_path / "run.atrace")
    said = threading.Event()
    last: list[Snapshot] = []

    def broken(_held: WindowSnapshot) -> pl.DataFrame:
        raise ValueError("made to fail")

    def publish(snapshot: Snapshot) -> None:
        last.append(snapshot)
        if snapshot.error:
            said.set()

    monkeypatch.setattr(WindowSnapshot, "diagnosed", broken)
    source = FollowSource(tmp_path / "run.atrace")
    source.start(publish)
    growing.use_after_free()
    growing.flush()
    _until(said)
    assert last[-1].error == "internal error: ValueError: made to fail"
    assert last[-1].recording is not None
    assert not last[-1].recording.running


def test_questions_before_the_start_have_no_answer(tmp_path: Path) -> None:
    """A view that is drawn while the recorder makes the trace may ask already."""
    source = FollowSource(tmp_path / "t.atrace")
    with pytest.raises(ArenatraceError, match="nothing has been read yet"):
        source.programs()


def test_a_panic_while_diagnosing_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Polars' panics are no Exceptions: a thread that ends by one must not end unnoticed."""
    growing = Growing(tmp_path / "run.atrace")
    growing.use_after_free()
    growing.flush()
    shown, told = threading.Event(), []

    def panics(_held: WindowSnapshot) -> pl.DataFrame:
        raise pl.exceptions.PanicException("index out of bounds")

    def publish(snapshot: Snapshot) -> None:
        if snapshot.error:
            told.append(snapshot.error)
            shown.set()

    monkeypatch.setattr(WindowSnapshot, "diagnosed", panics)
    source = FollowSource(tmp_path / "run.atrace")
    source.start(publish)
    _until(shown)
    assert told[0] == "internal error: PanicException: index out of bounds"


def test_one_panic_is_tried_again_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    growing = Growing(tmp_path / "run.atrace")
    growing.use_after_free()
    growing.flush()
    whole, panics, shown = WindowSnapshot.diagnosed, [1], threading.Event()

    def panics_once(held: WindowSnapshot) -> pl.DataFrame:
        if panics:
            raise pl.exceptions.PanicException(panics.pop())
        return whole(held)

    def publish(snapshot: Snapshot) -> None:
        listed = snapshot.faults is not None and len(snapshot.faults) == 1
        if listed and any("polars failed 1 time(s)" in notice for notice in snapshot.notices):
            shown.set()

    monkeypatch.setattr(WindowSnapshot, "diagnosed", panics_once)
    source = FollowSource(tmp_path / "run.atrace")
    source.start(publish)
    _until(shown)
    source.stop()
