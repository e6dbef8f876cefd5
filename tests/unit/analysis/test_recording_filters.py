"""Effect of recording filters on causes, replay and output."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from arenatrace.analysis.faults import faults
from arenatrace.cli.app import run
from arenatrace.schema import Kind
from arenatrace.trace.meta import parse_meta
from arenatrace.trace.reader import open_trace
from tests.data.trace_builder import KERN, USER, TraceBuilder, sample_meta

_PAGE_1 = KERN + (USER & 0xFFFF_FFFF) + 4096


def _rows(builder: TraceBuilder, path: Path) -> list[dict[str, Any]]:
    return faults(open_trace(builder.write(path / "t.atrace"))).collect().to_dicts()


def _freed(builder: TraceBuilder) -> None:
    builder.arena()
    user = USER + 4096
    values = {"arena": 0, "pgoff": 1, "pages": 1, "addr": user, "sleepable": True}
    builder.event(Kind.PAGE_ALLOC, **{**values, "addr": 0, "ret": user})
    builder.event(Kind.PAGE_FREE, **values)
    builder.kernel_fault()
    # A page without any operation in this trace.
    builder.kernel_fault(addr=_PAGE_1 + 8 * 4096)


@pytest.mark.parametrize(
    ("filters", "causes"),
    [
        ({}, [("use-after-free", "certain"), ("never-allocated", "certain")]),
        ({"arena": ("a",)}, [("use-after-free", "certain"), ("never-allocated", "certain")]),
        # All operations on its arena since its load are recorded.
        ({"program": ("p",)}, [("use-after-free", "certain"), ("never-allocated", "likely")]),
        # Operations of other tasks on the page are not recorded.
        ({"cgroup": ("/c",)}, [("unknown", "unknown"), ("unknown", "unknown")]),
    ],
)
def test_filtered_recording_lowers_confidence(
    filters: dict[str, tuple[str, ...]], causes: list[tuple[str, str]], tmp_path: Path
) -> None:
    builder = TraceBuilder(sample_meta(filters=filters))
    _freed(builder)
    assert [(row["cause"], row["confidence"]) for row in _rows(builder, tmp_path)] == causes


@pytest.mark.parametrize("kind", ["program", "cgroup"])
def test_replay_of_a_filtered_recording_is_inconclusive(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    builder = TraceBuilder(sample_meta(filters={kind: ("x",)}))
    builder.arena()
    # An allocation off the lowest free page: an unrecorded task may have allocated that one.
    builder.event(
        Kind.PAGE_ALLOC, arena=0, pgoff=7, pages=1, addr=0, ret=USER + 7 * 4096, sleepable=True
    )
    path = builder.write(tmp_path / "t.atrace")
    assert run(["replay", str(path), "--json"]) == 4
    found = json.loads(capsys.readouterr().out)
    assert (found["verdict"], found["divergences"]) == ("inconclusive", [])


def test_recording_filters_are_shown_by_every_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filters = {"arena": ("a", "7"), "cgroup": ("/c",)}
    builder = TraceBuilder(sample_meta(filters=filters))
    builder.arena()
    path = builder.write(tmp_path / "t.atrace")
    for command in ("summary", "faults"):
        run([command, str(path)])
        errors = capsys.readouterr().err
        assert "recorded with filters: --arena a --arena 7 --cgroup /c" in errors
    run(["summary", str(path), "--json"])
    found = json.loads(capsys.readouterr().out)["trace"]["filters"]
    assert found == {"arena": ["a", "7"], "cgroup": ["/c"]}
    assert parse_meta((path / "meta.json").read_bytes()).filters == filters
