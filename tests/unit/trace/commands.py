"""Runs the commands on a damaged trace."""

from __future__ import annotations

from pathlib import Path

import pytest

from arenatrace.cli.app import run


def exit_code_and_errors(path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Return the exit code of summary, and stderr of the last of four commands.

    No command may show a traceback; exit code 3 comes with exactly one error and one hint.
    """
    codes = []
    for arguments in (["summary"], ["summary", "--json"], ["faults"], ["faults", "--json"]):
        codes.append(run([*arguments, str(path)]))
        errors = capsys.readouterr().err
        assert "Traceback" not in errors
        if codes[-1] == 3:
            lines = errors.splitlines()
            assert [line for line in lines if line.startswith("arenatrace: error: ")] == [lines[-2]]
            assert lines[-1].startswith("hint: ")
    return codes[0], errors
