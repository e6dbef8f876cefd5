"""Streams with a torn end: complete batches are read, the rest is dropped with a warning."""

from __future__ import annotations

import contextlib
import random
import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from arenatrace import schema
from arenatrace.schema import Kind
from arenatrace.trace.arrow_schema import arrow_schema
from arenatrace.trace.reader import open_trace
from arenatrace.trace.recover import Tail, batches
from arenatrace.trace.seal import seal
from arenatrace.trace.writer import TraceWriter
from tests.data.trace_builder import TraceBuilder, sample_meta
from tests.runs import stride
from tests.unit.trace.commands import exit_code_and_errors


def _message_boundaries(stream: bytes) -> list[int]:
    """Offsets of the parts of each message: prefix, length, metadata, body."""
    boundaries = []
    at = 0
    while at < len(stream):
        metadata = int.from_bytes(stream[at + 4 : at + 8], "little")
        boundaries += [at, at + 4, at + 8, at + 8 + metadata]
        at += 8 + metadata
        if metadata:  # 0: end-of-stream mark
            at += pa.ipc.read_message(stream[boundaries[-4] :]).body.size
    assert at == len(stream)
    return [*boundaries, at]


@pytest.mark.parametrize("table", list(schema.TABLES))
def test_cut_stream_gives_its_complete_batches(streams: Path, tmp_path: Path, table: str) -> None:
    """Cut at every boundary, one byte beside each, and at a seeded sample of other bytes."""
    copy = shutil.copytree(streams, tmp_path / "t.atrace")
    file = copy / f"{table}.arrows"
    stream = file.read_bytes()
    rows = len(open_trace(copy).scan(table).collect())
    boundaries = _message_boundaries(stream)
    beside = {at + step for at in boundaries for step in (-1, 0, 1)} & set(range(len(stream) + 1))
    others = random.Random(table).sample(range(len(stream)), 30)  # noqa: S311
    seen = []
    remainders = set()
    for size in sorted({*beside, *others}):
        file.write_bytes(stream[:size])
        trace = open_trace(copy)
        seen.append(len(trace.scan(table).collect()))
        torn = [warning for warning in trace.warnings if warning.startswith(f"{table}: the last")]
        if torn:
            dropped = int(torn[0].split()[3].replace(",", ""))
            assert 0 < dropped <= size
            remainders.add(size - dropped)
    assert seen == sorted(seen)
    assert seen[0] == 0
    assert seen[-1] == rows
    assert remainders <= set(boundaries)
    for size in remainders:
        # A stream without its torn bytes is not torn.
        file.write_bytes(stream[:size])
        assert not [w for w in open_trace(copy).warnings if w.startswith(table)]


@pytest.mark.parametrize("table", list(schema.TABLES))
def test_cut_stream_drops_only_the_incomplete_message(
    streams: Path, tmp_path: Path, table: str
) -> None:
    """Cut at every seventh byte, below the level of a trace."""
    stream = (streams / f"{table}.arrows").read_bytes()
    boundaries = _message_boundaries(stream)
    file = tmp_path / "cut.arrows"
    seen = []
    for size in (*range(0, len(stream), stride(7)), len(stream)):
        file.write_bytes(stream[:size])
        tail = Tail()
        found = batches(file, arrow_schema(table), tail)
        seen.append(sum(batch.num_rows for batch in found))
        assert size - tail.dropped_bytes in boundaries
    assert seen == sorted(seen)
    assert seen[0] == 0
    assert seen[-1] > 0


@pytest.mark.parametrize("table", list(schema.TABLES))
@pytest.mark.parametrize("zeros", [4, 8, 1312])
def test_zeros_after_a_crash_do_not_end_a_stream(
    streams: Path, tmp_path: Path, table: str, zeros: int
) -> None:
    """After a panic the file may be longer than its written data; the rest is zeros."""
    copy = shutil.copytree(streams, tmp_path / "t.atrace")
    file = copy / f"{table}.arrows"
    rows = len(open_trace(copy).scan(table).collect())
    whole = file.read_bytes().removesuffix(b"\xff\xff\xff\xff\0\0\0\0")
    file.write_bytes(whole + bytes(zeros))
    trace = open_trace(copy)
    assert len(trace.scan(table).collect()) == rows
    assert f"{table}: the last {zeros:,} bytes were torn and are dropped" in trace.warnings


def test_batch_with_an_unwritten_body_is_dropped(tmp_path: Path) -> None:
    copy = tmp_path / "t.atrace"
    with TraceWriter(copy, sample_meta()) as writer:
        for first in (0, 500):
            rows = [
                {"ts_ns": seq, "seq": seq, "kind": int(Kind.PAGE_ALLOC)}
                for seq in range(first, first + 500)
            ]
            batch = pa.RecordBatch.from_pylist(rows, schema=arrow_schema("events"))
            writer.append("events", batch)
        writer.flush()
        data = (copy / "events.arrows").read_bytes()
        writer.close(seal=False)
    # the end of the file is the body of the second batch
    (copy / "events.arrows").write_bytes(data[: -_body(data)] + bytes(_body(data)))
    trace = open_trace(copy)
    assert trace.scan("events").collect()["seq"].to_list() == list(range(500))
    assert any(warning.startswith("events: the last ") for warning in trace.warnings)


def _body(stream: bytes) -> int:
    """Bytes of the body of the last message."""
    reader = pa.ipc.MessageReader.open_stream(stream)
    last = 0
    with contextlib.suppress(StopIteration):
        while (message := reader.read_next_message()) is not None:
            last = message.body.size
    return last


def test_summary_of_a_torn_trace_warns(
    streams: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(streams, tmp_path / "t.atrace")
    file = copy / "events.arrows"
    file.write_bytes(file.read_bytes()[:-100])
    code, errors = exit_code_and_errors(copy, capsys)
    assert code == 1
    assert "bytes were torn and are dropped" in errors
    assert "not sealed" in errors


def test_torn_or_missing_events_without_faults_are_inconclusive(
    streams: Path, sealed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torn = shutil.copytree(streams, tmp_path / "torn.atrace")
    (torn / "events.arrows").write_bytes((torn / "events.arrows").read_bytes()[:100])
    missing = shutil.copytree(sealed, tmp_path / "missing.atrace")
    (missing / "events.parquet").unlink()
    for path in (torn, missing):
        assert exit_code_and_errors(path, capsys)[0] == 4
    seal(torn)
    assert open_trace(torn).meta.sealed
    assert exit_code_and_errors(torn, capsys)[0] == 4


def test_unsealed_trace_without_faults_is_inconclusive(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seal_it, code in ((True, 0), (False, 4)):
        path = TraceBuilder().write(tmp_path / f"{seal_it}.atrace", seal=seal_it)
        assert exit_code_and_errors(path, capsys)[0] == code
