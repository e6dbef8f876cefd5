"""Tables rewritten by polars or DuckDB: equal values open, removed events count as lost."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import duckdb
import polars as pl
import pytest

from arenatrace.analysis.faults import faults
from arenatrace.cli.app import run
from arenatrace.errors import ExitCode, TraceError
from arenatrace.schema import KEYED, LOST_NOTES, TABLES
from arenatrace.trace.checksum import crc32
from arenatrace.trace.losses import PAGE_HISTORY, POSSIBLY_REMOVED, REMOVED, losses
from arenatrace.trace.meta import read_meta, write_meta
from arenatrace.trace.reader import open_trace
from tests.paths import ROOT
from tests.runs import stride

pytestmark = pytest.mark.slow

SAMPLE = ROOT / "sample_traces" / "two-programs.atrace"


def with_polars(source: Path, target: Path, where: str = "true") -> None:
    """Rewrite the rows of ``source`` that meet an SQL condition."""
    rows = pl.read_parquet(source)
    rows.sql(f"SELECT * FROM self WHERE {where}").write_parquet(target)  # noqa: S608


def with_duckdb(source: Path, target: Path, where: str = "true") -> None:
    """Rewrite the rows of ``source`` that meet an SQL condition with DuckDB."""
    select = f"SELECT * FROM '{source}' WHERE {where}"  # noqa: S608
    duckdb.sql(f"COPY ({select}) TO '{target}' (FORMAT parquet)")


Writer = Callable[..., None]
WRITERS = pytest.mark.parametrize("write", [with_polars, with_duckdb])


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """Return a copy of a sample, with the row counts that sealing writes now."""
    path = tmp_path / "copy.atrace"
    shutil.copytree(SAMPLE, path)
    rows = {table: pl.read_parquet(SAMPLE / f"{table}.parquet").height for table in TABLES}
    write_meta(path, replace(read_meta(path), rows=rows))
    return path


@WRITERS
def test_rewritten_tables_give_the_same_faults(trace: Path, write: Writer) -> None:
    for table in TABLES:
        write(SAMPLE / f"{table}.parquet", trace / f"{table}.parquet")
    rewritten, original = open_trace(trace), open_trace(SAMPLE)
    assert rewritten.lost == original.lost
    assert [warning.partition(":")[0] for warning in rewritten.warnings] == list(TABLES)
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
    assert any("5 events were removed" in warning for warning in rewritten.warnings)
    found = faults(rewritten).collect()
    assert found.height == 25
    assert "certain" not in set(found["confidence"])


@WRITERS
def test_duplicate_events_do_not_hide_removed_events(trace: Path, write: Writer) -> None:
    events = pl.read_parquet(SAMPLE / "events.parquet")
    source = trace / "duplicates.parquet"
    pl.concat([events.filter(pl.col("kind") != 5), events.head(5)]).write_parquet(source)
    write(source, trace / "events.parquet")
    rewritten = open_trace(trace)
    assert rewritten.lost == {REMOVED: 5}
    assert rewritten.scan("events").collect().height == events.height - 5


@WRITERS
@pytest.mark.parametrize("where", ["false", "seq < 20", "true"])
def test_rewritten_events_without_a_row_count_are_inconclusive(
    trace: Path, write: Writer, where: str
) -> None:
    """Old traces have no row count, so that events may be missing at the end."""
    write_meta(trace, replace(read_meta(trace), rows={}))
    clean = ROOT / "sample_traces" / "clean.atrace" / "events.parquet"
    write(clean, trace / "events.parquet", where)
    rewritten = open_trace(trace)
    assert rewritten.lost == {POSSIBLY_REMOVED: 1}
    assert not losses(rewritten.scan("events"), rewritten.lost, PAGE_HISTORY)
    assert run(["summary", str(trace)]) == ExitCode.INCONCLUSIVE


@WRITERS
@pytest.mark.parametrize("table", list(KEYED))
def test_duplicate_rows_are_read_once(trace: Path, write: Writer, table: str) -> None:
    rows = pl.read_parquet(SAMPLE / f"{table}.parquet")
    source = trace / "duplicates.parquet"
    pl.concat([rows, rows]).write_parquet(source)
    write(source, trace / f"{table}.parquet")
    rewritten, original = open_trace(trace), open_trace(SAMPLE)
    assert rewritten.scan(table).collect().equals(original.scan(table).collect())
    assert faults(rewritten).collect().equals(faults(original).collect())


@WRITERS
@pytest.mark.parametrize("table", [table for table in TABLES if table != "events"])
def test_removed_rows_of_other_tables_are_counted(trace: Path, write: Writer, table: str) -> None:
    rows = read_meta(trace).rows[table]
    write(SAMPLE / f"{table}.parquet", trace / f"{table}.parquet", "false")
    rewritten = open_trace(trace)
    assert rewritten.lost == {LOST_NOTES: rows}
    assert any(f"{rows} rows of {table} were removed" in line for line in rewritten.warnings)


@WRITERS
@pytest.mark.parametrize("column", ["ts_ns", "seq", "kind"])
def test_null_in_a_required_column_is_refused(trace: Path, write: Writer, column: str) -> None:
    events = pl.read_parquet(SAMPLE / "events.parquet")
    holed = events.with_columns(
        pl.when(pl.int_range(pl.len()) == 3).then(None).otherwise(pl.col(column)).alias(column)
    )
    source = trace / "holed.parquet"
    holed.write_parquet(source)
    write(source, trace / "events.parquet")
    with pytest.raises(TraceError, match=f"null in column {column}"):
        open_trace(trace)
    assert run(["summary", str(trace)]) == ExitCode.INPUT


@WRITERS
def test_null_is_refused_when_the_checksum_was_updated(trace: Path, write: Writer) -> None:
    """A matching checksum of a file that another program wrote says nothing about nulls."""
    source, target = trace / "holed.parquet", trace / "events.parquet"
    events = pl.read_parquet(SAMPLE / "events.parquet")
    events.with_columns(kind=pl.lit(None, pl.UInt8)).write_parquet(source)
    write(source, target)
    meta = read_meta(trace)
    write_meta(trace, replace(meta, checksums={**meta.checksums, target.name: crc32(target)}))
    with pytest.raises(TraceError, match="null in column kind"):
        open_trace(trace)


def test_sealed_file_that_verifies_is_not_read_for_nulls(
    trace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = []
    null_count = pl.Expr.null_count

    def _null_count(column: pl.Expr) -> pl.Expr:
        counted.append(column)
        return null_count(column)

    monkeypatch.setattr(pl.Expr, "null_count", _null_count)
    open_trace(trace)
    assert counted == []
    with_polars(SAMPLE / "stacks.parquet", trace / "stacks.parquet")
    open_trace(trace)
    assert len(counted) == 1


def test_rewritten_events_are_sorted(trace: Path) -> None:
    rows = pl.read_parquet(SAMPLE / "events.parquet")
    rows.reverse().write_parquet(trace / "events.parquet")
    rewritten, original = open_trace(trace), open_trace(SAMPLE)
    assert rewritten.scan("events").collect().equals(original.scan("events").collect())
    assert rewritten.lost == {}


def test_changed_byte_in_a_sealed_file_is_damage(trace: Path) -> None:
    file = trace / "events.parquet"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(TraceError, match="damaged"):
        open_trace(trace)


def test_damaged_footer_is_damage_and_prints_nothing(
    trace: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A changed byte may hide the metadata from a parser, or make the parser of polars panic."""
    file = trace / "stacks.parquet"
    data = file.read_bytes()
    length = int.from_bytes(data[-8:-4], "little")
    for at in range(len(data) - 8 - length, len(data), stride(37)):
        for flipped in (0x01, 0x10, 0x80):
            changed = bytearray(data)
            changed[at] ^= flipped
            file.write_bytes(changed)
            with pytest.raises(TraceError, match="damaged"):
                open_trace(trace)
    assert capfd.readouterr() == ("", "")
