"""Sealed tables with a foreign writer: out of order, duplicates, unknown kinds, no arenas."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from arenatrace.cli.app import run
from arenatrace.errors import ExitCode
from arenatrace.schema import Kind
from arenatrace.trace.reader import open_trace
from tests.data.trace_builder import TraceBuilder
from tests.paths import ROOT

pytestmark = pytest.mark.slow

_SAMPLE = ROOT / "sample_traces" / "two-programs.atrace"


def _altered(tmp_path: Path, change: Callable[[pa.Table], pa.Table], table: str = "events") -> Path:
    """Copy the sample, change one table and remove its checksum."""
    path = tmp_path / "t.atrace"
    shutil.copytree(_SAMPLE, path)
    file = path / f"{table}.parquet"
    pq.write_table(change(pq.read_table(file)), file)
    meta = json.loads((path / "meta.json").read_text())
    del meta["checksums"][file.name]
    (path / "meta.json").write_text(json.dumps(meta))
    return path


def _outputs(path: Path, capsys: pytest.CaptureFixture[str]) -> list[tuple[int, str]]:
    shown = []
    for command in ("summary", "faults", "replay"):
        code = run([command, "--json", str(path)])
        shown.append((code, capsys.readouterr().out.replace(str(path), "PATH")))
    return shown


def _backwards(events: pa.Table) -> pa.Table:
    return events.take(pa.array(range(len(events) - 1, -1, -1)))


def _twice(events: pa.Table) -> pa.Table:
    return pa.concat_tables([events, events])


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        (_backwards, "the events were out of time order and were sorted"),
        (_twice, "70 duplicate events are left out"),
    ],
)
def test_repaired_events_give_the_same_results(
    change: Callable[[pa.Table], pa.Table],
    warning: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = _altered(tmp_path, change)
    warnings = open_trace(path).warnings
    assert warning in warnings
    of_sample = json.dumps(warnings).removeprefix("[").removesuffix("]")
    for found, meant in zip(_outputs(path, capsys), _outputs(_SAMPLE, capsys), strict=True):
        assert (found[0], found[1].replace(of_sample, "")) == meant


def test_events_with_equal_time_and_seq_are_not_duplicates(tmp_path: Path) -> None:
    """Their order is unknown; none is a duplicate."""

    def _at_once(events: pa.Table) -> pa.Table:
        same = [7] * len(events)
        for name, values in (("ts_ns", same), ("seq", same), ("cpu", range(len(events)))):
            at = events.schema.get_field_index(name)
            field = events.schema.field(at)
            events = events.set_column(at, field, pa.array(values, field.type))
        return events

    trace = open_trace(_altered(tmp_path, _at_once))
    assert len(trace.scan("events").collect()) == 70
    assert trace.warnings == open_trace(_SAMPLE).warnings


def test_unsealed_trace_is_repaired(tmp_path: Path) -> None:
    builder = TraceBuilder()
    for tid in (1, 2):
        builder.event(Kind.PAGE_FREE, arena=0, pages=1, pgoff=0, tid=tid)
    builder.rows["events"] *= 2
    trace = open_trace(builder.write(tmp_path / "t.atrace", seal=False))
    assert trace.scan("events").collect()["tid"].to_list() == [1, 2]
    assert "2 duplicate events are left out" in trace.warnings


def test_events_of_unknown_kinds_are_a_loss(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def _unknown(events: pa.Table) -> pa.Table:
        at = events.schema.get_field_index("kind")
        field = events.schema.field(at)
        return events.set_column(at, field, pa.array([200] * len(events), field.type))

    path = _altered(tmp_path, _unknown)
    assert run(["summary", "--json", str(path)]) == ExitCode.INCONCLUSIVE
    shown = json.loads(capsys.readouterr().out)
    assert shown["totals"]["lost"] == 70
    assert "70 events of unknown kinds are left out" in shown["notices"]
    assert run(["replay", str(path)]) == ExitCode.INCONCLUSIVE
    assert "70 event(s) were lost at unknown times" in capsys.readouterr().out


def test_replay_of_an_empty_trace_is_inconclusive(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _altered(tmp_path, lambda events: events.filter(pc.scalar(False)))
    assert run(["replay", str(path)]) == ExitCode.INCONCLUSIVE
    assert "nothing to replay" in capsys.readouterr().out


def test_replay_without_arenas_reports_no_divergence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _altered(tmp_path, lambda arenas: arenas.slice(0, 0), "arenas")
    assert run(["replay", "--json", str(path)]) == ExitCode.OK
    shown = json.loads(capsys.readouterr().out)
    assert shown["divergences"] == []
    assert shown["checked"] > 0
