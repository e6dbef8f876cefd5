"""A running replay ends with its parent; no process is left behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from arenatrace.errors import ArenatraceError
from arenatrace.replay.child import ReplayChild
from arenatrace.trace.reader import open_trace
from arenatrace.tui.app import ArenatraceApp
from arenatrace.tui.sources.recorded import TraceSource
from tests.paths import ROOT
from tests.tui.drive import SAMPLES, Driver, drive
from tests.vm.lab.skipping import skip_or_fail

TRACE = SAMPLES / "one-program.atrace"
#: Says its process id in the file that it is given, and stays.
_STAYS = (
    "import os, sys, time; from pathlib import Path;"
    "file = Path(sys.argv[1]); file.with_suffix('.new').write_text(str(os.getpid()));"
    "file.with_suffix('.new').rename(file); time.sleep(600)"
)


def _pid(file: Path) -> int:
    end = time.monotonic() + 30
    while not file.exists():
        assert time.monotonic() < end, "the child does not begin"
        time.sleep(0.02)
    return int(file.read_text())


def _gone(pid: int) -> bool:
    """Whether a process ends within some seconds."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


def test_quit_ends_a_running_replay(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    replay = ReplayChild([sys.executable, "-c", _STAYS, str(file)])

    async def script(driver: Driver) -> None:
        await driver.see("replay …")
        await driver.until(file.exists)
        await driver.press("q")

    drive(ArenatraceApp(TraceSource(open_trace(TRACE), replay)), script)
    assert _gone(_pid(file))


def test_stopped_replay_raises_and_cannot_start_again(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    replay = ReplayChild([sys.executable, "-c", _STAYS, str(file)])
    messages: list[str] = []

    def ask() -> None:
        try:
            replay(TRACE)
        except ArenatraceError as error:
            messages.append(error.message)

    asking = threading.Thread(target=ask)
    asking.start()
    pid = _pid(file)
    replay.stop()
    asking.join(10)
    assert _gone(pid)
    ask()
    assert messages == ["replay: stopped before the end", "replay: stopped before the start"]


def test_killed_interface_leaves_no_replay_process(tmp_path: Path) -> None:
    if shutil.which("setpriv") is None:
        skip_or_fail("setpriv missing (Debian package util-linux)")
    file = tmp_path / "pid"
    asks = (
        "import sys; from pathlib import Path; from arenatrace.replay.child import ReplayChild;"
        "ReplayChild([sys.executable, '-c', sys.argv[1], sys.argv[2]])(Path(sys.argv[3]))"
    )
    command = [sys.executable, "-c", asks, _STAYS, str(file), str(TRACE)]
    asking = subprocess.Popen(command, cwd=ROOT)
    pid = _pid(file)
    asking.kill()
    asking.wait()
    try:
        assert _gone(pid)
    finally:
        if not _gone(pid):
            os.kill(pid, signal.SIGKILL)


def test_replay_returns_its_result_or_its_error(tmp_path: Path) -> None:
    assert ReplayChild()(TRACE)["verdict"] == "consistent"
    with pytest.raises(ArenatraceError, match=r"^replay: arenatrace: error: .*none.atrace"):
        ReplayChild()(tmp_path / "none.atrace")
