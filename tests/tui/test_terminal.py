"""Keys, colours and exit in a real terminal. make lab-packages installs tmux."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.paths import ROOT
from tests.tui.drive import SAMPLES
from tests.tui.terminal import Terminal
from tests.vm.lab.skipping import skip_or_fail

pytestmark = pytest.mark.slow

TRACE = SAMPLES / "two-programs.atrace"
COMMAND = f"{shlex.quote(sys.executable)} -m arenatrace.cli tui {shlex.quote(str(TRACE))}"


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    if shutil.which("tmux") is None:
        skip_or_fail("tmux missing (Debian package tmux)")
    environment = {"PYTHONPATH": str(ROOT), "TERM": "tmux-256color", "LANG": "C.UTF-8"}
    with Terminal(tmp_path / "tmux", (100, 30), environment) as terminal:
        terminal.see("ready>")
        yield terminal


def _pid(terminal: Terminal, file: Path) -> int:
    terminal.see("25 arena faults")
    return int(file.read_text())


def test_two_keys_open_a_fault_and_quit_restores_the_terminal(terminal: Terminal) -> None:
    terminal.type(COMMAND)
    terminal.see("25 arena faults", "use-after-free 8", "replay consistent")
    assert not terminal.sane()
    terminal.press("Enter")
    terminal.see("2 of 25 faults")
    terminal.press("Enter")
    terminal.see("alpha.bpf.c:49", "because  page 0 freed 5.0 ms before the fault", "Freed by")
    terminal.resize(40, 10)
    terminal.see("40 x 10 is too small")
    terminal.resize(120, 40)
    terminal.see("History of the page")
    terminal.press("q")
    assert "status 0-42" in terminal.wait_for_shell()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signal_restores_the_terminal(
    number: signal.Signals, status: int, terminal: Terminal, tmp_path: Path
) -> None:
    terminal.type(f"sh -c 'echo $$ > {tmp_path}/pid; exec {COMMAND}'")
    os.kill(_pid(terminal, tmp_path / "pid"), number)
    assert f"status {status}-42" in terminal.wait_for_shell()


def test_internal_error_is_one_line_and_restores_the_terminal(
    terminal: Terminal,
) -> None:
    terminal.type(f"{shlex.quote(sys.executable)} -m tests.tui.crashing {shlex.quote(str(TRACE))}")
    terminal.see("arenatrace: error: internal error: RuntimeError: made to fail\\x1b[31m")
    screen = terminal.wait_for_shell()
    assert "status 70-42" in screen
    assert "Traceback" not in screen


@pytest.mark.parametrize("setting", ["TERM=dumb", "TERM="])
def test_dumb_terminal_gets_the_summary(terminal: Terminal, setting: str) -> None:
    terminal.type(f"{setting} {COMMAND}")
    terminal.see("alpha_arena, 1,021 pages", "5 SIGSEGV")
    assert "status 1-42" in terminal.wait_for_shell()


def test_no_color_draws_without_colour(terminal: Terminal) -> None:
    terminal.type(f"NO_COLOR=1 {COMMAND}")
    terminal.see("25 arena faults", "use-after-free 8")
    coloured = terminal._run("capture-pane", "-p", "-e")
    codes = {code for part in coloured.split("\x1b[")[1:] for code in part.split("m")[0].split(";")}
    assert not codes & {str(number) for number in (*range(30, 38), *range(40, 48), *range(90, 98))}
    assert not codes & {"38", "48"}
    terminal.press("q")
    terminal.wait_for_shell()


def test_live_without_privileges_fails_as_record_does(terminal: Terminal, tmp_path: Path) -> None:
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        skip_or_fail("setpriv missing (Debian package util-linux)")
    drop = "setpriv --reuid=65534 --regid=65534 --clear-groups " if os.geteuid() == 0 else ""
    live = f"{drop}{shlex.quote(sys.executable)} -P -m arenatrace.cli"
    terminal.type(f"cd {tmp_path} && {live} tui --live")
    terminal.see("arenatrace: error:", "this user lacks CAP_BPF", "sudo arenatrace record")
    assert "status 5-42" in terminal.wait_for_shell()
