"""Traces whose tables polars or DuckDB wrote again: the same values open, removed rows count."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import polars as pl
import pytest

from arenatrace.analysis.faults import faults
from arenatrace.errors import TraceError
from arenatrace.schema import TABLES
from arenatrace.trace.losses import REMOVED
from arenatrace.trace.reader import open_trace
from tests.paths import ROOT

SAMPLE = ROOT / "sample_traces" / "two-programs.atrace"


def with_polars(source: Path, target: Path, where: str = "true") -> None:
    """Write the rows of ``source`` that meet an SQL condition."""
    rows = pl.read_parquet(source)
    rows.sql(f"SELECT * FROM self WHERE {where}").write_parquet(target)  # noqa: S608


def with_duckdb(source: Path, target: Path, where: str = "true") -> None:
    """The same, by DuckDB."""
    select = f"SELECT * FROM '{source}' WHERE {where}"  # noqa: S608
    duckdb.sql(f"COPY ({select}) TO '{target}' (FORMAT parquet)")


Writer = Callable[..., None]
WRITERS = pytest.mark.parametrize("write", [with_polars, with_duckdb])


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """A copy of a sample to rewrite."""
    path = tmp_path / "copy.atrace"
    shutil.copytree(SAMPLE, path)
    return path


@WRITERS
def test_same_values_give_the_same_faults(trace: Path, write: Writer) -> None:
    for table in TABLES:
        write(SAMPLE / f"{table}.parquet", trace / f"{table}.parquet")
    rewritten, original = open_trace(trace), open_trace(SAMPLE)
    assert rewritten.lost == original.lost
    assert [notice.partition(":")[0] for notice in rewritten.notices] == list(TABLES)
    for table in TABLES:
        assert rewritten.scan(table).collect().equals(original.scan(table).collect())
    found = faults(rewritten).collect()
    assert found.height == 25
    assert found.equals(faults(original).collect())


@WRITERS
def test_removed_events_are_counted_as_lost(trace: Path, write: Writer) -> None:
    """5 of 70 events are frees; without them no use after free can be certain."""
    write(SAMPLE / "events.parquet", trace / "events.parquet", "kind <> 5")
    rewritten = open_trace(trace)
    assert rewritten.lost == {REMOVED: 5}
    assert any("5 events were removed" in notice for notice in rewritten.notices)
    found = faults(rewritten).collect()
    assert found.height == 25
    assert "certain" not in set(found["confidence"])


@WRITERS
@pytest.mark.parametrize("column", ["ts_ns", "seq", "kind"])
def test_null_is_refused_where_there_must_be_a_value(
    trace: Path, write: Writer, column: str
) -> None:
    events = pl.read_parquet(SAMPLE / "events.parquet")
    holed = events.with_columns(
        pl.when(pl.int_range(pl.len()) == 3).then(None).otherwise(pl.col(column)).alias(column)
    )
    source = trace / "holed.parquet"
    holed.write_parquet(source)
    write(source, trace / "events.parquet")
    with pytest.raises(TraceError, match=f"null in column {column}"):
        open_trace(trace)


def test_other_order_is_sorted(trace: Path) -> None:
    rows = pl.read_parquet(SAMPLE / "events.parquet")
    rows.reverse().write_parquet(trace / "events.parquet")
    rewritten, original = open_trace(trace), open_trace(SAMPLE)
    assert rewritten.scan("events").collect().equals(original.scan("events").collect())
    assert rewritten.lost == {}


def test_changed_byte_in_a_sealed_file_is_still_damage(trace: Path) -> None:
    file = trace / "events.parquet"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(TraceError, match="damaged"):
        open_trace(trace)
