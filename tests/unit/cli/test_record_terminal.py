"""`arenatrace record` on a terminal: however it ends, the terminal is as it was."""

from __future__ import annotations

import os
import subprocess
import sys
import termios

import pytest

_HIDE, _SHOW = b"\x1b[?25l", b"\x1b[?25h"

_SCRIPT = """
import sys
from pathlib import Path

from arenatrace.capture import session
from arenatrace.capture.plan import Progress, Result
from arenatrace.cli.app import run
from arenatrace.errors import UnsupportedError
from arenatrace.schema import Kind

how = sys.argv[1]


def record(plan):
    plan.on_status("recording")
    plan.on_progress(Progress(1.0, dict.fromkeys(Kind, 7), 3))
    if how == "refused":
        raise UnsupportedError("this kernel cannot", "use another")
    if how == "interrupted":
        raise KeyboardInterrupt
    if how == "broken":
        raise RuntimeError("a fault of ours")
    return Result(plan.path, dict.fromkeys(Kind, 7), {})


session.record = record
sys.exit(run(["record", "-o", "x.atrace"]))
"""


@pytest.mark.parametrize(
    ("how", "status", "last"),
    [
        ("ends", 0, b"see: arenatrace summary x.atrace"),
        ("refused", 5, b"hint: use another"),
        ("interrupted", 130, b""),
        ("broken", 70, b"please report it"),
    ],
)
def test_the_terminal_is_as_it_was(how: str, status: int, last: bytes) -> None:
    ours, theirs = os.openpty()
    before = termios.tcgetattr(theirs)
    child = subprocess.Popen(
        [sys.executable, "-c", _SCRIPT, how],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "80"},
        start_new_session=True,
    )
    said = b""
    os.set_blocking(ours, False)
    while child.poll() is None:
        said += _read(ours)
    said += _read(ours)
    assert child.returncode == status, said
    assert b"3 LOST" in said
    assert last in said.replace(b"\r\n", b"")
    # the cursor was away for the live line, and is back
    assert _HIDE in said
    assert said.rindex(_SHOW) > said.rindex(_HIDE)
    assert termios.tcgetattr(theirs) == before
    os.close(ours)
    os.close(theirs)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except BlockingIOError:
        return b""
