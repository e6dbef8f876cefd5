"""Follow a table under recording, batch by batch, in constant memory."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import polars as pl
import pyarrow as pa

from arenatrace.errors import TraceError
from arenatrace.trace.arrow_schema import arrow_schema
from arenatrace.trace.recover import arrow_fields, conform
from arenatrace.trace.tables import column_mismatch

#: Seconds between two polls of a file that does not grow.
POLL_S = 0.05


class _Tail(io.RawIOBase):
    """Growing file: a read waits until it has all its bytes, or for ``stopped``."""

    def __init__(
        self,
        path: Path,
        stopped: Event,
        on_poll: Callable[[], None],
        on_wait: Callable[[int], None],
    ) -> None:
        super().__init__()
        self._descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        self._stopped = stopped
        self._on_poll = on_poll
        self._on_wait = on_wait

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            self._on_poll()
            data = os.read(self._descriptor, size - len(parts))
            parts += data
            if not data:
                self._on_wait(len(parts))
                if self._stopped.wait(POLL_S):
                    break
        return bytes(parts)

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()


def follow(
    directory: Path,
    table: str,
    stopped: Event,
    *,
    on_poll: Callable[[], None] = lambda: None,
    on_wait: Callable[[int], None] = lambda _: None,
) -> Iterator[pa.RecordBatch]:
    """Yield the batches of ``table`` of an unsealed trace until its recording ends.

    Waits for the file and for each complete batch. Ends at the end of the stream.

    Args:
        directory: the trace.
        table: a key of ``schema.TABLES``.
        stopped: ends the iteration.
        on_poll: called before each read of the file.
        on_wait: called when a read returned nothing, with the number of bytes of the incomplete
            message. The time of the last ``on_poll`` is when the file was found not to have grown.

    Raises TraceError for a stream that is damaged or has other columns.
    """
    path = directory / f"{table}.arrows"
    on_poll()
    while not path.exists():
        on_wait(0)
        if stopped.wait(POLL_S):
            return
        on_poll()
    try:
        tail = _Tail(path, stopped, on_poll, on_wait)
    except FileNotFoundError:
        return  # sealed between exists() and open()
    except OSError as error:
        raise TraceError(f"{path}: {error.strerror or 'cannot be read'}") from error
    with contextlib.closing(tail):
        try:
            yield from _batches(tail, path, table)
        except (pa.ArrowException, OSError) as error:
            if stopped.is_set():
                return
            raise TraceError(
                f"{path}: the stream is damaged: {_first_line(error)}",
                "batches before the damage are readable: arenatrace summary",
            ) from error


def frame_of(batch: pa.RecordBatch) -> pl.DataFrame:
    """Convert a batch to polars, with strings in place of Categoricals.

    Polars keeps every value of a Categorical in memory, without a bound for a recording of hours.
    """
    columns = [
        column.dictionary_decode() if isinstance(column, pa.DictionaryArray) else column
        for column in batch.columns
    ]
    plain = pa.Table.from_arrays(columns, names=batch.schema.names)
    frame = pl.from_arrow(plain)
    if not isinstance(frame, pl.DataFrame):  # from_arrow may return a Series
        raise TypeError(type(frame).__name__)
    return frame


def _batches(tail: _Tail, path: Path, table: str) -> Iterator[pa.RecordBatch]:
    expected = arrow_schema(table)
    stream = pa.ipc.open_stream(pa.PythonFile(tail, mode="r"))
    reason = column_mismatch(arrow_fields(stream.schema), arrow_fields(expected))
    if reason is not None:
        raise TraceError(
            f"{path}: its columns are not those of this version's table: it {reason}",
            "follow it with the arenatrace version that records it",
        )
    while True:
        try:
            batch = stream.read_next_batch()
        except StopIteration:
            return
        # A damaged batch may have an index past its buffer; readers must not get it.
        batch.validate(full=True)
        yield conform(batch, expected)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
