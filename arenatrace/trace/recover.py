"""Read an Arrow IPC stream that may end anywhere: complete batches up to the torn tail."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from arenatrace.errors import TraceError
from arenatrace.trace.arrow_schema import arrow_schema
from arenatrace.trace.tables import Field, column_mismatch

#: End-of-stream mark of a closed stream.
_END = b"\xff\xff\xff\xff\0\0\0\0"


@dataclass
class Tail:
    """Torn end of a stream: ``batches`` did not read its last ``dropped_bytes`` bytes."""

    dropped_bytes: int = 0


def torn_warning(table: str, tail: Tail) -> str:
    """Return the warning about the dropped tail of ``table``."""
    return f"{table}: the last {tail.dropped_bytes:,} bytes were torn and are dropped"


def read_stream(table: str, path: Path) -> tuple[pl.DataFrame, Tail]:
    """Return all rows of the stream file ``path`` of ``table``, and its torn tail."""
    schema = arrow_schema(table)
    tail = Tail()
    rows = pl.from_arrow(pa.Table.from_batches(batches(path, schema, tail), schema))
    if not isinstance(rows, pl.DataFrame):  # from_arrow may return a Series
        raise TypeError(type(rows).__name__)
    return rows, tail


def batches(path: Path, expected: pa.Schema, tail: Tail) -> Iterator[pa.RecordBatch]:
    """Yield the complete record batches of the stream file ``path``, in file order.

    A killed recorder or a crashed kernel leaves an incomplete last message. Reading ends there,
    and ``tail`` gets the number of bytes that follow. Batches have the columns of ``expected``:
    missing columns are null, unknown columns are left out.

    Raises TraceError if the file cannot be opened or its columns cannot be read as ``expected``.
    """
    try:
        source = pa.memory_map(str(path)) if path.stat().st_size else None
    except OSError as error:
        raise TraceError(f"{path}: {error.strerror or 'cannot be read'}") from error
    if source is None:
        return
    with source:
        yield from _complete_batches(source, path, expected, tail)


def _complete_batches(
    source: pa.NativeFile, path: Path, expected: pa.Schema, tail: Tail
) -> Iterator[pa.RecordBatch]:
    size = source.size()
    good = 0
    try:
        stream = pa.ipc.open_stream(source)
    except (pa.ArrowException, OSError):
        tail.dropped_bytes = size
        return
    reason = column_mismatch(arrow_fields(stream.schema), arrow_fields(expected))
    if reason is not None:
        raise TraceError(
            f"{path}: its columns are not those of this version's table: it {reason}",
            "record it again, or read it with the arenatrace that recorded it",
        )
    good = source.tell()
    while True:
        try:
            batch = stream.read_next_batch()
            # A torn page may have an index past its buffer; readers must not get it.
            batch.validate(full=True)
            if _is_blank(batch):
                raise pa.ArrowInvalid("the rows never reached the disk")
        except StopIteration:
            # Zeros end a stream as well; a crash leaves them in place of unwritten data.
            if _read(source, good, source.tell()) == _END:
                good += len(_END)
            tail.dropped_bytes = size - good
            return
        except (pa.ArrowException, OSError):
            tail.dropped_bytes = size - good
            return
        good = source.tell()
        yield conform(batch, expected)


def _is_blank(batch: pa.RecordBatch) -> bool:
    """Return whether a batch has events of kind 0: zeros that a crash left."""
    if "kind" not in batch.schema.names or not batch.num_rows:
        return False
    return bool(pc.min(batch.column("kind")).as_py() == 0)


def _read(source: pa.NativeFile, start: int, end: int) -> bytes:
    source.seek(start)
    return bytes(source.read(end - start))


def arrow_fields(schema: pa.Schema) -> list[Field]:
    """Return the columns of an Arrow schema for ``column_mismatch``."""
    return [Field(field.name, field.type, field.nullable) for field in schema]


def conform(batch: pa.RecordBatch, expected: pa.Schema) -> pa.RecordBatch:
    """Return a compatible ``batch`` with exactly the columns of ``expected``."""
    if batch.schema.equals(expected, check_metadata=False):
        return batch
    columns = [
        batch.column(field.name)
        if field.name in batch.schema.names
        else pa.nulls(batch.num_rows, field.type)
        for field in expected
    ]
    return pa.RecordBatch.from_arrays(columns, schema=expected)
