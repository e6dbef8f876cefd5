"""Fixtures: small traces to damage, one sealed and one unsealed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.trace_builder import TraceBuilder


def _builder() -> TraceBuilder:
    builder = TraceBuilder()
    arena = builder.arena()
    lines = [{"addr": 1000, "file": "a.bpf.c", "line": 1, "text": "x"}]
    prog = builder.program("alpha", [("alpha", 1000, 2000)], arena=arena, lines=lines)
    builder.symbol(77, "kfunc")
    stack = builder.stack(77, 1500)
    for _ in range(12):
        builder.kernel_fault(prog=prog, stack=stack, ip=77)
    return builder


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _builder().write(tmp_path_factory.mktemp("sealed") / "t.atrace")


@pytest.fixture(scope="module")
def streams(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("streams") / "t.atrace"
    return _builder().write(path, seal=False, batch_rows=3)
