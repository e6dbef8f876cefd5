"""Seal a trace: rewrite its streams as sorted zstd Parquet.

The order of steps keeps the trace readable at every moment: Parquet files appear under
their names complete, ``meta.json`` then says they are the truth, and only then the
streams go.
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
from arenatrace.trace.recover import Tail, batches, torn_notice
from arenatrace.trace.tables import merge_rows

#: Rows in a Parquet row group: large enough to compress, small enough to skip by time.
ROW_GROUP = 128 * 1024

#: Columns whose values rise from row to row: their differences take a third of the room, and of
#: the time to read.
_RISING = ("ts_ns", "seq")
#: Columns of addresses, which hardly ever repeat within a row group, as a dictionary needs it:
#: LZ4 is read twice as fast as zstd and takes a fifth more room.
_SCATTERED = ("addr", "ret")

_ORDER: dict[str, tuple[str, str]] = {"events": ("ts_ns", "seq"), "symbols": ("ts_ns", "addr")}


def seal(directory: Path) -> None:
    """Seal the trace in ``directory``; one that is sealed already is only tidied.

    A torn tail is dropped and said so in the notices. Raises TraceError if the trace is not
    readable, and IncompleteError if the disk is full or fails: the trace is then still
    there, unsealed.
    """
    meta = read_meta(directory)
    try:
        if not meta.sealed:
            torn = _write_tables(directory)
            notices = [torn_notice(table, tail) for table, tail in torn.items()]
            lost = {**meta.lost, TORN: 1} if "events" in torn else meta.lost
            sealed = replace(
                meta,
                sealed=True,
                lost=lost,
                notices=(*meta.notices, *notices),
                checksums={file.name: crc32(file) for file in sorted(directory.glob("*.parquet"))},
                rows={table: _row_count(directory / f"{table}.parquet") for table in TABLES},
            )
            write_meta(directory, sealed)
        for table in TABLES:
            (directory / f"{table}.arrows").unlink(missing_ok=True)
    except OSError as error:
        raise IncompleteError(
            f"{directory}: cannot seal: {error.strerror or error}",
            "the trace can be read as it is; free some space to seal it",
        ) from error


def _write_tables(directory: Path) -> dict[str, Tail]:
    """Write every table as Parquet; the torn tails that were dropped, by table."""
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
            for rows in _groups(_rows(table, source, schema, tail)):
                writer.write_table(rows, row_group_size=ROW_GROUP)
        file.flush()
        os.fsync(file.fileno())


def parquet_writer(file: IO[bytes] | Path, table: str) -> pq.ParquetWriter:
    """A writer of a sealed ``table``, with the encodings that are read fastest."""
    schema = arrow_schema(table)
    if table not in _ORDER:
        return pq.ParquetWriter(file, schema, compression="zstd", write_page_checksum=True)
    names = schema.names
    return pq.ParquetWriter(
        file,
        schema,
        compression={name: "lz4" if name in _SCATTERED else "zstd" for name in names},
        use_dictionary=[name for name in names if name not in (*_RISING, *_SCATTERED)],
        column_encoding={name: "DELTA_BINARY_PACKED" for name in _RISING if name in names},
        write_page_checksum=True,
    )


def _rows(table: str, source: Path, schema: pa.Schema, tail: Tail) -> Iterator[pa.Table]:
    if not source.exists():
        return
    if table in KEYED:
        whole = pa.Table.from_batches(batches(source, schema, tail), schema)
        yield _merged(table, whole)
    else:
        yield from _sorted(table, source, schema, tail)


def _merged(table: str, rows: pa.Table) -> pa.Table:
    frame = pl.from_arrow(rows)
    if not isinstance(frame, pl.DataFrame):  # from_arrow's type also covers a lone column
        raise TypeError(type(frame).__name__)
    merged = merge_rows(table, frame.lazy()).collect()
    return merged.to_arrow().cast(arrow_schema(table))


def _sorted(table: str, source: Path, schema: pa.Schema, tail: Tail) -> Iterator[pa.Table]:
    """The rows of ``source`` in time order, holding back only what later batches may precede.

    Batches come nearly sorted (each CPU's order is exact, their interleaving is not), so a
    first pass over the times finds, for each batch, the earliest time still to come; rows
    before that are final.
    """
    keys = [(name, "ascending") for name in _ORDER[table]]
    time = _ORDER[table][0]
    earliest = [pc.min(batch.column(time)).as_py() for batch in batches(source, schema, Tail())]
    still_to_come: list[int | None] = [None] * (len(earliest) + 1)
    for index in range(len(earliest) - 1, -1, -1):
        known = [ts for ts in (earliest[index], still_to_come[index + 1]) if ts is not None]
        still_to_come[index] = min(known, default=None)
    held = schema.empty_table()
    for index, batch in enumerate(batches(source, schema, tail)):
        held = pa.concat_tables([held, pa.Table.from_batches([batch], schema)])
        held = held.unify_dictionaries().sort_by(keys)
        cut = still_to_come[index + 1]
        if cut is None:
            continue
        final = pc.sum(pc.less(held.column(time), cut)).as_py() or 0
        yield held.slice(0, final)
        # A slice of a chunk would keep the whole chunk alive.
        held = held.slice(final).take(pa.array(range(held.num_rows - final), pa.int64()))
    yield held


def _groups(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Gather small tables until they make a row group."""
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
