"""`arenatrace record` restores the terminal at its end, also after errors."""

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
def test_record_restores_the_terminal(how: str, status: int, last: bytes) -> None:
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
    output = b""
    os.set_blocking(ours, False)
    while child.poll() is None:
        output += _read(ours)
    output += _read(ours)
    assert child.returncode == status, output
    assert b"3 LOST" in output
    assert last in output.replace(b"\r\n", b"")
    # the live line hides the cursor; the end shows it
    assert _HIDE in output
    assert output.rindex(_SHOW) > output.rindex(_HIDE)
    assert termios.tcgetattr(theirs) == before
    os.close(ours)
    os.close(theirs)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except BlockingIOError:
        return b""
