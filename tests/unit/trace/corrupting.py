"""Damaged traces."""

from __future__ import annotations

from pathlib import Path

import pytest

from arenatrace.cli.app import run
from tests.data.trace_builder import TraceBuilder


def builder() -> TraceBuilder:
    builder = TraceBuilder()
    arena = builder.arena()
    lines = [{"addr": 1000, "file": "a.bpf.c", "line": 1, "text": "x"}]
    prog = builder.program("alpha", [("alpha", 1000, 2000)], arena=arena, lines=lines)
    builder.symbol(77, "kfunc")
    stack = builder.stack(77, 1500)
    for _ in range(12):
        builder.kernel_fault(prog=prog, stack=stack, ip=77)
    return builder


def look(path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code and stderr of both commands, which must be the same kind of answer."""
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
