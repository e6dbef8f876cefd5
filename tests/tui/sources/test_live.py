"""A growing trace is followed, diagnosed completely when it ends, and kept or deleted."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import pytest

from arenatrace.trace.reader import open_trace
from arenatrace.tui.app import ArenatraceApp
from arenatrace.tui.sources.live import LiveSource
from arenatrace.tui.sources.record_process import Recorder, RecorderError
from tests.paths import ROOT
from tests.tui.drive import NARROW, WIDE, Driver, drive
from tests.tui.growing import Growing


def _following(path: Path, recorder: Recorder | None = None) -> ArenatraceApp:
    return ArenatraceApp(LiveSource(path, recorder=recorder), recorder=recorder)


@pytest.mark.parametrize("size", [NARROW, WIDE])
def test_growing_trace_is_followed(size: tuple[int, int], tmp_path: Path) -> None:
    path = tmp_path / "run.atrace"
    growing = Growing(path)

    async def script(driver: Driver) -> None:
        await driver.see("● following", "No arena faults recorded", "growing_arena")
        growing.use_after_free()
        growing.flush()
        await driver.see("1 arena fault: 1 program-side", "use-after-free 1", "live_prog")
        await driver.press("enter")
        await driver.see("1 of 1 fault", "live.bpf.c:77")
        await driver.press("enter")
        await driver.see(
            "live.bpf.c:77  *p = 1;", "because  page 1 freed 1.0 ms before", "Evidence"
        )
        growing.use_after_free(2)
        growing.flush()
        await driver.see("fault #1 of 2")
        await driver.press("3")
        await driver.see("growing_arena · 16 pages", "· now ·")
        await driver.press("1")
        growing.end()
        await driver.see(
            "run.atrace", "2 arena faults", "nothing lost · profile unknown", "2.500 s"
        )

    drive(_following(path), script, size)


def test_incomplete_end_is_reported_and_the_rest_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "run.atrace"
    growing = Growing(path)
    growing.use_after_free()
    growing.flush()
    growing.use_after_free()
    growing.flush()
    stream = path / "events.arrows"
    os.truncate(stream, stream.stat().st_size - 10)

    async def script(driver: Driver) -> None:
        await driver.see("1 arena fault", "note: events: the last", "bytes are an incomplete batch")

    drive(_following(path), script)


def test_idle_trace_is_opened_completely_until_it_grows(tmp_path: Path) -> None:
    path = tmp_path / "run.atrace"
    growing = Growing(path)
    growing.use_after_free()
    growing.flush()
    for file in path.glob("*.arrows"):
        os.utime(file, (1, 1))

    async def script(driver: Driver) -> None:
        await driver.see("run.atrace", "1 arena fault", "not sealed", "note: not sealed: the rec")
        growing.use_after_free()
        growing.flush()
        await driver.see("● following", "2 arena faults")

    drive(_following(path), script)


def _recorder(path: Path, *arguments: str, requested: bool = False) -> Recorder:
    command = [sys.executable, "-m", "tests.tui.growing", str(path), *arguments]
    return Recorder(command, path, requested=requested)


@pytest.fixture(autouse=True)
def in_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_recording_with_a_fault_is_kept_without_a_question(tmp_path: Path) -> None:
    recorder = _recorder(tmp_path / "run.atrace", "1")

    async def script(driver: Driver) -> None:
        await driver.see("● recording", "1 arena fault", "use-after-free 1")
        await driver.press("q")

    drive(_following(recorder.path, recorder), script)
    assert recorder.running
    recorder.finish()
    assert open_trace(recorder.path).meta.sealed
    assert recorder.failure() is None


@pytest.mark.parametrize(("answer", "there"), [("k", True), ("d", False)])
def test_recording_without_a_fault_asks_whether_to_keep_it(
    answer: str, there: bool, tmp_path: Path
) -> None:
    recorder = _recorder(tmp_path / "run.atrace", "0")

    async def script(driver: Driver) -> None:
        await driver.see("● recording", "recording; faults appear here as they happen")
        await driver.press("q")
        await driver.see("No fault was recorded. Keep the trace?")
        await driver.press("escape")
        await driver.see("faults appear here")
        await driver.press("q")
        await driver.see("Keep the trace?")
        await driver.press(answer)

    drive(_following(recorder.path, recorder), script)
    recorder.finish()
    assert recorder.path.exists() == there


def test_k_keeps_the_trace_and_s_stops_and_shows_all(tmp_path: Path) -> None:
    recorder = _recorder(tmp_path / "run.atrace", "0")

    async def script(driver: Driver) -> None:
        await driver.see("● recording", "faults appear here")
        await driver.press("k")
        await driver.see("the trace stays")
        await driver.press("S")
        await driver.see("■ recorded", "No arena faults found")
        await driver.press("q")

    drive(_following(recorder.path, recorder), script, WIDE)
    recorder.finish()
    assert recorder.path.exists()


def test_recorder_that_cannot_start_ends_the_interface_with_its_error(tmp_path: Path) -> None:
    script_text = (
        "import sys; print('arenatrace: error: no BTF\\nhint: another kernel', file=sys.stderr);"
        "sys.exit(5)"
    )
    recorder = Recorder(
        [sys.executable, "-c", script_text], tmp_path / "run.atrace", requested=False
    )
    ended = threading.Event()

    async def script(driver: Driver) -> None:
        await driver.until(lambda: not driver.app.is_running)
        ended.set()

    drive(_following(recorder.path, recorder), script)
    recorder.finish()
    failure = recorder.failure()
    assert isinstance(failure, RecorderError)
    assert (failure.message, failure.hint, failure.exit_code) == ("no BTF", "another kernel", 5)


@pytest.mark.parametrize("output", ["", "arenatrace: error: no space left\nhint: free some"])
def test_reason_of_an_early_end_is_reported_at_exit(tmp_path: Path, output: str) -> None:
    """Exit status 4 without an error means only losses, which the trace lists."""
    script_text = f"import sys; print({output!r}, file=sys.stderr); sys.exit(4)"
    recorder = Recorder(
        [sys.executable, "-c", script_text], tmp_path / "run.atrace", requested=True
    )
    recorder.start()
    while recorder.running:
        time.sleep(0.01)
    recorder.finish()
    failure = recorder.failure()
    if not output:
        assert failure is None
        return
    assert failure is not None
    assert (failure.message, failure.hint, failure.exit_code) == ("no space left", "free some", 4)
