"""Read an Arrow IPC stream that may end anywhere: whole batches up to the torn tail."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from arenatrace.errors import TraceError
from arenatrace.trace.arrow_schema import arrow_schema
from arenatrace.trace.tables import Field, misfit

#: What is at the end of a stream that was closed.
_END = b"\xff\xff\xff\xff\0\0\0\0"


@dataclass
class Tail:
    """What ``batches`` left unread: ``dropped_bytes`` is 0 for a stream that is whole."""

    dropped_bytes: int = 0


def torn_notice(table: str, tail: Tail) -> str:
    """What a reader is told about the dropped tail of ``table``."""
    return f"{table}: the last {tail.dropped_bytes:,} bytes were torn and are dropped"


def recovered(table: str, path: Path) -> tuple[pl.DataFrame, Tail]:
    """All rows of the stream file ``path`` of ``table``, and what was left unread."""
    schema = arrow_schema(table)
    tail = Tail()
    rows = pl.from_arrow(pa.Table.from_batches(batches(path, schema, tail), schema))
    if not isinstance(rows, pl.DataFrame):  # from_arrow's type also covers a lone column
        raise TypeError(type(rows).__name__)
    return rows, tail


def batches(path: Path, expected: pa.Schema, tail: Tail) -> Iterator[pa.RecordBatch]:
    """The whole record batches of the stream file ``path``, in the order they were appended.

    A recorder that was killed, or a kernel that crashed, leaves the last message cut short;
    from there on the file is dropped and ``tail`` says how many bytes that was. Raises
    TraceError if the file cannot be opened or its columns cannot be read as ``expected``,
    whose columns the batches have: what the file lacks is null, what it has more is left out.
    """
    try:
        source = pa.memory_map(str(path)) if path.stat().st_size else None
    except OSError as error:
        raise TraceError(f"{path}: {error.strerror or 'cannot be read'}") from error
    if source is None:
        return
    with source:
        yield from _whole_batches(source, path, expected, tail)


def _whole_batches(
    source: pa.NativeFile, path: Path, expected: pa.Schema, tail: Tail
) -> Iterator[pa.RecordBatch]:
    size = source.size()
    good = 0
    try:
        stream = pa.ipc.open_stream(source)
    except (pa.ArrowException, OSError):
        tail.dropped_bytes = size
        return
    reason = misfit(fields(stream.schema), fields(expected))
    if reason is not None:
        raise TraceError(
            f"{path}: its columns are not those of this version's table: it {reason}",
            "record it again, or read it with the arenatrace that recorded it",
        )
    good = source.tell()
    while True:
        try:
            batch = stream.read_next_batch()
            # A torn page can hold anything; an index past its buffer must not reach the readers.
            batch.validate(full=True)
            if _is_blank(batch):
                raise pa.ArrowInvalid("the rows never reached the disk")
        except StopIteration:
            # zeros, which a crash leaves of what never reached the disk, end a stream as well
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
    """Whether it has events of kind 0, which no event is: a crash leaves such zeros."""
    if "kind" not in batch.schema.names or not batch.num_rows:
        return False
    return bool(pc.min(batch.column("kind")).as_py() == 0)


def _read(source: pa.NativeFile, start: int, end: int) -> bytes:
    source.seek(start)
    return bytes(source.read(end - start))


def fields(schema: pa.Schema) -> list[Field]:
    """The columns of an Arrow schema, for ``misfit``."""
    return [Field(field.name, field.type, field.nullable) for field in schema]


def conform(batch: pa.RecordBatch, expected: pa.Schema) -> pa.RecordBatch:
    """``batch``, which is no misfit, with exactly the columns of ``expected``."""
    if batch.schema.equals(expected, check_metadata=False):
        return batch
    columns = [
        batch.column(field.name)
        if field.name in batch.schema.names
        else pa.nulls(batch.num_rows, field.type)
        for field in expected
    ]
    return pa.RecordBatch.from_arrays(columns, schema=expected)
