"""The live terminal interface on a real kernel: a fault appears, is opened and read."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath

import pytest

from arenatrace.trace.reader import open_trace
from tests.vm.boots import CommandsRun
from tests.vm.recordings import arenatrace


@pytest.fixture(scope="module")
def out(commands: CommandsRun) -> Path:
    """The directory with the screens and the traces."""
    return commands.out("tui")


def _screen(out: Path, scene: str) -> str:
    return (out / f"{scene}.txt").read_text(encoding="utf-8")


def test_faults_appear_while_the_recording_runs(out: Path) -> None:
    assert "● recording" in _screen(out, "waiting")
    overview = _screen(out, "overview")
    assert "● recording" in overview
    assert "25 arena faults: 20 kernel-side (scratch page), 5 program-side" in overview
    assert "nothing lost" in overview


def test_fault_view_shows_program_and_line_of_the_workload(out: Path) -> None:
    screen = _screen(out, "fault")
    number = int(screen.split("fault #")[1].split()[0])
    truth = json.loads((out / "two.json").read_text())
    rows = [
        json.loads(line)
        for line in arenatrace("faults", out / "live.atrace", "--json").splitlines()
    ]
    row = next(row for row in rows if row["fault"] == number)
    matches = [
        fault
        for fault in truth["faults"]
        if (fault["kaddr"], fault["program"], fault["line"])
        == (row["kaddr"], row["prog"]["name"], row["source"]["line"])
    ]
    assert matches
    file = PurePosixPath(row["source"]["file"]).name
    second = screen.splitlines()[2]
    assert second.split()[:2] == [matches[0]["program"], f"{file}:{matches[0]['line']}"]
    assert row["source"]["text"].strip() in second
    assert " freed " in screen.splitlines()[3]


def test_quitting_restores_the_terminal_and_seals_the_trace(out: Path) -> None:
    assert "status 0-42" in _screen(out, "after-quit")
    assert "the trace is" in _screen(out, "after-quit")
    trace = open_trace(out / "live.atrace")
    assert trace.meta.sealed
    assert trace.lost == {}


def test_sigterm_ends_the_recorder_and_restores_the_terminal(out: Path) -> None:
    assert "status 143-42" in _screen(out, "after-term")
    assert _screen(out, "recorders-left") == ""
    assert open_trace(out / "killed" / "run.atrace").meta.sealed
