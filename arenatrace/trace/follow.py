"""Read a table that is still being written: what comes, as it comes, in constant memory."""

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
from arenatrace.trace.recover import conform, fields
from arenatrace.trace.tables import misfit

#: Seconds between two looks at a file that has not grown.
POLL_S = 0.05


class _Tail(io.RawIOBase):
    """A growing file: a read waits for all the bytes it asks for, or for ``stopped``."""

    def __init__(
        self, path: Path, stopped: Event, looks: Callable[[], None], waits: Callable[[int], None]
    ) -> None:
        super().__init__()
        self._descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        self._stopped = stopped
        self._looks = looks
        self._waits = waits

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            self._looks()
            data = os.read(self._descriptor, size - len(parts))
            parts += data
            if not data:
                self._waits(len(parts))
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
    looks: Callable[[], None] = lambda: None,
    waits: Callable[[int], None] = lambda _: None,
) -> Iterator[pa.RecordBatch]:
    """The batches of ``table`` of the unsealed trace in ``directory``, until its recording ends.

    Waits for what is not there yet, also for the file itself, and calls ``waits`` each time it
    does, with how many bytes of something unfinished are there; ``looks`` is called before each
    look, so that one who is told of a wait knows since when nothing had come. Ends at the end of
    the stream or when ``stopped`` is set. Never a torn batch: it is waited for. Raises TraceError
    for a stream that is damaged or has other columns.
    """
    path = directory / f"{table}.arrows"
    looks()
    while not path.exists():
        waits(0)
        if stopped.wait(POLL_S):
            return
        looks()
    try:
        tail = _Tail(path, stopped, looks, waits)
    except FileNotFoundError:
        return  # sealed between the look and the opening
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
                "what came before can be read: arenatrace summary",
            ) from error


def frame_of(batch: pa.RecordBatch) -> pl.DataFrame:
    """A batch of a table as polars sees it in a trace, but with texts instead of Categoricals.

    Polars remembers each value that a Categorical ever had: of a recording that is followed for
    hours these would never end.
    """
    columns = [
        column.dictionary_decode() if isinstance(column, pa.DictionaryArray) else column
        for column in batch.columns
    ]
    plain = pa.Table.from_arrays(columns, names=batch.schema.names)
    frame = pl.from_arrow(plain)
    if not isinstance(frame, pl.DataFrame):  # from_arrow's type also covers a lone column
        raise TypeError(type(frame).__name__)
    return frame


def _batches(tail: _Tail, path: Path, table: str) -> Iterator[pa.RecordBatch]:
    expected = arrow_schema(table)
    stream = pa.ipc.open_stream(pa.PythonFile(tail, mode="r"))
    reason = misfit(fields(stream.schema), fields(expected))
    if reason is not None:
        raise TraceError(
            f"{path}: its columns are not those of this version's table: it {reason}",
            "read it with the arenatrace that records it",
        )
    while True:
        try:
            batch = stream.read_next_batch()
        except StopIteration:
            return
        # A damaged batch can hold anything; an index past its buffer must not reach the readers.
        batch.validate(full=True)
        yield conform(batch, expected)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
