"""The terminal interface live on a real kernel: the fault appears, is opened and read."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath

import pytest

from arenatrace.trace.reader import open_trace
from tests.paths import ROOT
from tests.vm.lab.lab import WORKLOAD, Lab, VmResult
from tests.vm.recordings import arenatrace

_JOB = Path(__file__).parent / "guest_jobs" / "drive_tui.py"
_TERMINAL = ROOT / "tests" / "tui" / "terminal.py"
_BUILD = "make BUILD=/job/build KVER=$LAB_KERNEL"


@pytest.fixture(scope="module")
def guest(lab: Lab) -> VmResult:
    """Both scenes in one boot."""
    built = lab.prepare(WORKLOAD, _BUILD)
    result = lab.run(
        f"python files/{_JOB.name} files/{built.name}/build", files=[built, _JOB, _TERMINAL]
    )
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr}\n{result.console[-3000:]}"
    return result


def _screen(guest: VmResult, scene: str) -> str:
    return (guest.out_dir / f"{scene}.txt").read_text(encoding="utf-8")


def test_the_fault_appears_while_the_recording_runs(guest: VmResult) -> None:
    assert "● recording" in _screen(guest, "waiting")
    overview = _screen(guest, "overview")
    assert "● recording" in overview
    assert "25 arena faults: 20 given the scratch page, 5 in BPF code" in overview
    assert "nothing lost" in overview


def test_program_and_line_are_read_off_the_screen(guest: VmResult) -> None:
    """What the screen says of the fault is what the workload says it did."""
    screen = _screen(guest, "fault")
    number = int(screen.split("fault #")[1].split()[0])
    truth = json.loads((guest.out_dir / "two.json").read_text())
    rows = [
        json.loads(line)
        for line in arenatrace("faults", guest.out_dir / "live.atrace", "--json").splitlines()
    ]
    row = next(row for row in rows if row["fault"] == number)
    done = [
        fault
        for fault in truth["faults"]
        if (fault["kaddr"], fault["program"], fault["line"])
        == (row["kaddr"], row["prog"]["name"], row["source"]["line"])
    ]
    assert done
    file = PurePosixPath(row["source"]["file"]).name
    second = screen.splitlines()[2]
    assert second.split()[:2] == [done[0]["program"], f"{file}:{done[0]['line']}"]
    assert row["source"]["text"].strip() in second
    assert " freed " in screen.splitlines()[3]


def test_the_terminal_is_sane_and_the_trace_kept_and_whole(guest: VmResult) -> None:
    assert "status 0-42" in _screen(guest, "after-quit")
    assert "the trace is" in _screen(guest, "after-quit")
    trace = open_trace(guest.out_dir / "live.atrace")
    assert trace.meta.sealed
    assert trace.lost == {}


def test_a_signal_ends_recorder_and_screen(guest: VmResult) -> None:
    assert "status 143-42" in _screen(guest, "after-term")
    assert _screen(guest, "recorders-left") == ""
    assert open_trace(guest.out_dir / "killed" / "run.atrace").meta.sealed
