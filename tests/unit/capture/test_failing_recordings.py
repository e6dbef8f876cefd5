"""A recording that fails leaves a valid trace, and the command alone."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

import pytest

from arenatrace.capture.plan import Plan, Progress
from arenatrace.errors import IncompleteError
from arenatrace.schema import (
    Kind,
)
from arenatrace.trace.reader import open_trace
from tests.unit.capture.decode.make_records import event
from tests.unit.capture.fake_probes import FakeProbes, events_of, run
from tests.unit.capture.ring.make_notes import PTR


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
def test_disk_failure_does_not_end_the_command(
    probes: FakeProbes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: int,
    why: str,
) -> None:
    disk = _Full(monkeypatch, error)
    probes.send(event(Kind.ARENA_CREATE, arena=PTR, ts_ns=1001))
    path, went_on = tmp_path / "run.atrace", tmp_path / "went-on"
    statuses: list[tuple[str, bool, int]] = []

    def fill(progress: Progress) -> None:
        if progress.elapsed_s > 0:  # earlier events are flushed by then
            disk.full = True
            probes.send(event(Kind.ARENA_DESTROY, arena=PTR, ts_ns=1002))
            probes.lost = {Kind.PAGE_ALLOC: 5}

    plan = Plan(
        path,
        command=("sh", "-c", f"sleep 2.5; touch {went_on}; exit 7"),
        on_progress=fill,
        on_status=lambda text: statuses.append((text, went_on.exists(), probes.closed)),
    )
    with pytest.raises(IncompleteError, match=why):
        run(probes, plan)
    # the status appears at the failure, not at the end of the command
    assert [text for text, ended, _ in statuses if "the command goes on" in text and not ended]
    assert statuses[-1] == ("the command ended with status 7", True, 1)
    # nothing was recorded, nor were probes attached, while it went on
    assert probes.switched == [True, False]
    trace = open_trace(path)
    assert not trace.meta.sealed
    assert any(why in notice for notice in trace.warnings)
    assert (trace.meta.command_status, trace.meta.lost["page_alloc"]) == (7, 5)
    assert [row["kind"] for row in events_of(path)] == [Kind.ARENA_CREATE]


def test_command_can_be_interrupted_after_recording_failed(
    probes: FakeProbes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = _Full(monkeypatch)
    statuses: list[str] = []

    def fill(progress: Progress) -> None:
        if progress.elapsed_s > 0:
            disk.full = True
            probes.send(event(Kind.ARENA_DESTROY, arena=PTR, ts_ns=1002))

    def interrupt(text: str) -> None:
        statuses.append(text)
        if text.endswith("the command goes on"):
            signal.raise_signal(signal.SIGTERM)

    plan = Plan(
        tmp_path / "run.atrace", command=("sleep", "600"), on_progress=fill, on_status=interrupt
    )
    with pytest.raises(IncompleteError, match="no space left"):
        run(probes, plan)
    assert statuses[-1] == "the command was ended by signal 15"


def test_recorder_error_does_not_end_the_command(probes: FakeProbes, tmp_path: Path) -> None:
    """Nor is it hidden: the trace says it, and it is raised once the command has ended."""

    def break_down(_progress: object) -> None:
        raise RuntimeError("broken")

    path = tmp_path / "run.atrace"
    plan = Plan(path, command=("sh", "-c", "sleep 0.3; exit 7"), on_progress=break_down)
    with pytest.raises(RuntimeError, match="broken"):
        run(probes, plan)
    meta = open_trace(path).meta
    assert meta.command_status == 7
    assert "recording stopped: broken" in meta.notices


def test_repeated_recorder_errors_do_not_end_the_command(
    probes: FakeProbes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Errors during the abandon hide no earlier error and do not end the command."""

    def fail(*_arguments: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(probes, "lost_events", fail)
    monkeypatch.setattr(probes, "close", fail)
    path = tmp_path / "run.atrace"
    plan = Plan(path, command=("sh", "-c", "sleep 1.5; exit 7"))
    with pytest.raises(OSError, match="Cannot allocate memory"):
        run(probes, plan)
    assert open_trace(path).meta.command_status == 7
