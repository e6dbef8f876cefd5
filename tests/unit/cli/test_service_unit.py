"""The systemd unit in docs/: systemd and arenatrace accept it."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from arenatrace.capture.flight.plan import flight_plan
from arenatrace.cli.record import record
from tests.paths import ROOT

_UNIT = ROOT / "docs" / "arenatrace-record.service"


def _command() -> list[str]:
    (line,) = [line for line in _UNIT.read_text().splitlines() if line.startswith("ExecStart=")]
    return shlex.split(line.removeprefix("ExecStart="))


def test_record_accepts_the_command_line_of_the_unit() -> None:
    program, command, *words = _command()
    assert (program, command) == ("/usr/bin/arenatrace", "record")
    context = record.make_context("record", words)
    assert isinstance(context, click.Context)
    values = context.params
    plan = flight_plan(values["keep"], values["max_windows"], values["max_size"])
    assert (plan.keep_s, plan.max_windows, plan.max_bytes) == (60.0, 20, 1 << 30)


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd-analyze here")
    unit = tmp_path / _UNIT.name
    # neither arenatrace nor its manual is installed where this runs
    text = _UNIT.read_text().replace(_command()[0], "/bin/true")
    unit.write_text("".join(x for x in text.splitlines(True) if not x.startswith("Documentation=")))
    done = subprocess.run([analyze, "verify", unit], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
