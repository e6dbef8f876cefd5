"""Seal a trace: rewrite its streams as sorted zstd Parquet.

The trace is readable after each step: complete Parquet files get their names, then ``meta.json``
says sealed, then the streams are deleted.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from arenatrace.errors import IncompleteError
from arenatrace.schema import KEYED, TABLES
from arenatrace.trace.arrow_schema import arrow_schema
from arenatrace.trace.checksum import crc32
from arenatrace.trace.losses import TORN
from arenatrace.trace.meta import read_meta, write_meta
from arenatrace.trace.recover import Tail, batches, torn_warning
from arenatrace.trace.tables import merge_rows

#: Rows in a Parquet row group: large enough to compress, small enough to skip by time.
ROW_GROUP = 128 * 1024

#: Columns with ascending values. As differences they take a third of the space and of the time to
#: read.
_ASCENDING = ("ts_ns", "seq")
#: Address columns. Values rarely repeat within a row group, so a dictionary does not help. LZ4 is
#: read twice as fast as zstd and takes a fifth more space.
_SCATTERED = ("addr", "ret")

_ORDER: dict[str, tuple[str, str]] = {"events": ("ts_ns", "seq"), "symbols": ("ts_ns", "addr")}


def seal(directory: Path) -> None:
    """Seal the trace in ``directory``; of a sealed trace, only delete leftover streams.

    A torn tail is dropped; a warning in meta.json says so. Raises TraceError if the trace is not
    readable, and IncompleteError if the disk is full or fails: the trace then stays unsealed.
    """
    meta = read_meta(directory)
    try:
        if not meta.sealed:
            torn = _write_tables(directory)
            warnings = [torn_warning(table, tail) for table, tail in torn.items()]
            lost = {**meta.lost, TORN: 1} if "events" in torn else meta.lost
            sealed = replace(
                meta,
                sealed=True,
                lost=lost,
                notices=(*meta.notices, *warnings),
                checksums={file.name: crc32(file) for file in sorted(directory.glob("*.parquet"))},
                rows={table: _row_count(directory / f"{table}.parquet") for table in TABLES},
            )
            write_meta(directory, sealed)
        for table in TABLES:
            (directory / f"{table}.arrows").unlink(missing_ok=True)
    except OSError as error:
        raise IncompleteError(
            f"{directory}: cannot seal: {error.strerror or error}",
            "the unsealed trace is readable; free some space to seal it",
        ) from error


def _write_tables(directory: Path) -> dict[str, Tail]:
    """Write every table as Parquet and return the dropped torn tails by table."""
    torn: dict[str, Tail] = {}
    written: list[tuple[Path, Path]] = []
    try:
        for table in TABLES:
            source = directory / f"{table}.arrows"
            target = directory / f"{table}.parquet"
            if not source.exists() and target.exists():
                continue
            temporary = directory / f".{table}.parquet.tmp"
            written.append((temporary, target))
            tail = Tail()
            _write_table(table, source, temporary, tail)
            if tail.dropped_bytes:
                torn[table] = tail
        for temporary, target in written:
            temporary.replace(target)
    except BaseException:
        for temporary, _ in written:
            temporary.unlink(missing_ok=True)
        raise
    return torn


def _row_count(file: Path) -> int:
    return int(pq.read_metadata(file).num_rows)


def _write_table(table: str, source: Path, temporary: Path, tail: Tail) -> None:
    schema = arrow_schema(table)
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        with parquet_writer(file, table) as writer:
            for rows in _row_groups(_rows(table, source, schema, tail)):
                writer.write_table(rows, row_group_size=ROW_GROUP)
        file.flush()
        os.fsync(file.fileno())


def parquet_writer(file: IO[bytes] | Path, table: str) -> pq.ParquetWriter:
    """Return a writer of a sealed ``table``, with the encodings that are read fastest."""
    schema = arrow_schema(table)
    if table not in _ORDER:
        return pq.ParquetWriter(file, schema, compression="zstd", write_page_checksum=True)
    names = schema.names
    return pq.ParquetWriter(
        file,
        schema,
        compression={name: "lz4" if name in _SCATTERED else "zstd" for name in names},
        use_dictionary=[name for name in names if name not in (*_ASCENDING, *_SCATTERED)],
        column_encoding={name: "DELTA_BINARY_PACKED" for name in _ASCENDING if name in names},
        write_page_checksum=True,
    )


def _rows(table: str, source: Path, schema: pa.Schema, tail: Tail) -> Iterator[pa.Table]:
    if not source.exists():
        return
    if table in KEYED:
        yield _merge(table, pa.Table.from_batches(batches(source, schema, tail), schema))
    else:
        yield from _sort(table, source, schema, tail)


def _merge(table: str, rows: pa.Table) -> pa.Table:
    frame = pl.from_arrow(rows)
    if not isinstance(frame, pl.DataFrame):  # from_arrow may return a Series
        raise TypeError(type(frame).__name__)
    merged = merge_rows(table, frame.lazy()).collect()
    return merged.to_arrow().cast(arrow_schema(table))


def _sort(table: str, source: Path, schema: pa.Schema, tail: Tail) -> Iterator[pa.Table]:
    """Yield the rows of ``source`` in time order.

    Batches are nearly sorted: the order of each CPU is exact, the interleaving of CPUs is not. A
    first pass finds the earliest time after each batch. Rows before that time are final, later
    rows wait.
    """
    keys = [(name, "ascending") for name in _ORDER[table]]
    time = _ORDER[table][0]
    earliest = [pc.min(batch.column(time)).as_py() for batch in batches(source, schema, Tail())]
    earliest_later: list[int | None] = [None] * (len(earliest) + 1)
    for index in range(len(earliest) - 1, -1, -1):
        known = [ts for ts in (earliest[index], earliest_later[index + 1]) if ts is not None]
        earliest_later[index] = min(known, default=None)
    pending = schema.empty_table()
    for index, batch in enumerate(batches(source, schema, tail)):
        pending = pa.concat_tables([pending, pa.Table.from_batches([batch], schema)])
        pending = pending.unify_dictionaries().sort_by(keys)
        cut = earliest_later[index + 1]
        if cut is None:
            continue
        final = pc.sum(pc.less(pending.column(time), cut)).as_py() or 0
        yield pending.slice(0, final)
        # take() copies: a slice would keep the chunk alive.
        pending = pending.slice(final).take(pa.array(range(pending.num_rows - final), pa.int64()))
    yield pending


def _row_groups(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Concatenate small tables into tables of at least one row group."""
    gathered: list[pa.Table] = []
    rows = 0
    for table in tables:
        gathered.append(table)
        rows += table.num_rows
        if rows >= ROW_GROUP:
            yield pa.concat_tables(gathered).unify_dictionaries()
            gathered, rows = [], 0
    if rows:
        yield pa.concat_tables(gathered).unify_dictionaries()
