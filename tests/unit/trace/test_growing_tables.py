"""Tables with fewer or more columns in the same format version."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from arenatrace.errors import TraceError
from arenatrace.schema import TABLES
from arenatrace.trace.checksum import crc32
from arenatrace.trace.meta import read_meta, write_meta
from arenatrace.trace.reader import open_trace
from arenatrace.trace.seal import seal
from tests.data.trace_builder import TraceBuilder

Change = Callable[[pa.Table], pa.Table]


def _trace(path: Path, *, sealed: bool) -> Path:
    builder = TraceBuilder()
    builder.arena()
    builder.kernel_fault(comm="first", cpu=3)
    builder.kernel_fault(comm="second", cpu=4)
    return builder.write(path, seal=sealed)


def _rewrite(trace: Path, table: str, change: Change) -> None:
    parquet, stream = trace / f"{table}.parquet", trace / f"{table}.arrows"
    if parquet.exists():
        pq.write_table(change(pq.read_table(parquet)), parquet)
        # as another version would have sealed it
        meta = read_meta(trace)
        write_meta(trace, replace(meta, checksums={**meta.checksums, parquet.name: crc32(parquet)}))
        return
    with pa.OSFile(str(stream), "rb") as source:
        rows = change(pa.ipc.open_stream(source).read_all())
    with pa.OSFile(str(stream), "wb") as sink, pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)


def _retyped(rows: pa.Table, name: str, dtype: pa.DataType) -> pa.Table:
    index = rows.schema.get_field_index(name)
    return rows.set_column(index, pa.field(name, dtype), rows.column(name).cast(dtype))


@pytest.fixture(params=[True, False], ids=["sealed", "streams"])
def sealed(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_missing_nullable_column_is_null(tmp_path: Path, sealed: bool) -> None:
    trace = _trace(tmp_path / "t", sealed=sealed)
    whole = open_trace(trace).scan("events").collect_schema()
    _rewrite(trace, "events", lambda rows: rows.drop_columns(["comm", "sleepable", "ip"]))
    found = open_trace(trace).scan("events").collect()
    assert found.schema == whole
    assert found["comm"].to_list() == [None, None]
    assert found["cpu"].to_list() == [3, 4]


def test_unknown_column_is_ignored(tmp_path: Path, sealed: bool) -> None:
    trace = _trace(tmp_path / "t", sealed=sealed)
    _rewrite(trace, "events", lambda rows: rows.append_column("colour", pa.array(["red", "blue"])))
    _rewrite(trace, "arenas", lambda rows: rows.add_column(0, "x", pa.array([1])))
    opened = open_trace(trace)
    assert opened.scan("events").collect()["comm"].to_list() == ["first", "second"]
    for table in ("events", "arenas"):
        names = [column.name for column in TABLES[table]]
        assert opened.scan(table).collect().columns == names


def test_stream_of_an_older_version_is_sealed(tmp_path: Path) -> None:
    trace = _trace(tmp_path / "t", sealed=False)
    _rewrite(trace, "events", lambda rows: rows.drop_columns(["comm"]))
    _rewrite(trace, "arenas", lambda rows: rows.drop_columns(["name"]))
    seal(trace)
    assert pq.read_schema(trace / "events.parquet").names == [c.name for c in TABLES["events"]]
    assert open_trace(trace).scan("arenas").collect()["name"].to_list() == [None]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda rows: rows.drop_columns(["kind"]), "has no column kind"),
        (lambda rows: _retyped(rows, "cpu", pa.int64()), "has a column cpu of another type"),
    ],
)
def test_incompatible_column_is_refused_with_the_reason(
    tmp_path: Path, sealed: bool, change: Change, why: str
) -> None:
    trace = _trace(tmp_path / "t", sealed=sealed)
    _rewrite(trace, "events", change)
    with pytest.raises(TraceError, match=why):
        open_trace(trace).scan("events").collect()


def test_nullable_column_in_a_stream_is_refused(tmp_path: Path) -> None:
    """Only recorders write streams. In sealed tables the values decide, not the declaration."""
    trace = _trace(tmp_path / "t", sealed=False)
    _rewrite(trace, "events", lambda rows: _retyped(rows, "ts_ns", pa.int64()))
    with pytest.raises(TraceError, match="has a column ts_ns of another type"):
        open_trace(trace)


def test_duplicate_column_is_refused(tmp_path: Path) -> None:
    trace = _trace(tmp_path / "t", sealed=False)
    _rewrite(trace, "events", lambda rows: rows.append_column("comm", pa.array(["a", "b"])))
    with pytest.raises(TraceError, match="two columns comm"):
        open_trace(trace)
