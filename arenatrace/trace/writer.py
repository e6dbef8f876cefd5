"""Writer of a trace directory during a recording."""

from __future__ import annotations

import contextlib
import errno
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa

from arenatrace.errors import ArenatraceError, DiskFullError, IncompleteError, UsageError
from arenatrace.schema import TABLES
from arenatrace.trace.arrow_schema import arrow_schema
from arenatrace.trace.arrow_stream import StreamFile
from arenatrace.trace.meta import Meta, write_meta
from arenatrace.trace.seal import seal as seal_trace

#: Errors for a full disk and an exceeded quota.
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
#: Tables that events refer to. Their rows are written before the events.
_REFERENCED = ("arenas", "programs", "stacks", "symbols")


class TraceWriter:
    """New trace directory (mode 0700, files 0600), open for appending.

    As a context manager it seals at the end of the block; if the block raises, it only closes.

    After an ArenatraceError from ``append`` or ``flush`` (a full disk) the writer accepts no more
    rows. ``close`` then still leaves a valid trace of all flushed rows.

    Without ``durable`` only ``flush(durable=True)`` and sealing wait for the disk; the caller has
    to sync the files.

    Raises UsageError if ``path`` exists or cannot be created.
    """

    def __init__(self, path: str | Path, meta: Meta, *, durable: bool = True) -> None:
        self.path = Path(path)
        self._durable = durable
        self.meta = replace(meta, sealed=False)
        self._streams: dict[str, StreamFile] = {}
        self._failure: ArenatraceError | None = None
        self._closed = False
        _make_directory(self.path)
        try:
            write_meta(self.path, self.meta, durable=self._durable)
        except OSError as error:
            raise self._fail(error) from error

    def append(self, table: str, batch: pa.RecordBatch) -> None:
        """Append ``batch``, which has the columns of ``arrow_schema(table)``.

        Raises ValueError, which names a wrong column, and ArenatraceError if the disk fails.
        """
        self._check_usable()
        conformed = _conform(table, batch)
        try:
            if table not in self._streams:
                self._streams[table] = StreamFile(
                    self.path / f"{table}.arrows", arrow_schema(table)
                )
            if table == "events":
                # Appending may write: rows that the events refer to go first.
                self._flush_referenced()
            self._streams[table].append(conformed)
        except OSError as error:
            raise self._fail(error) from error

    def _flush_referenced(self) -> None:
        for table in _REFERENCED:
            if table in self._streams and self._streams[table].has_pending:
                self._streams[table].flush()

    def flush(self, *, durable: bool = False) -> None:
        """Write all rows to the kernel, so that a killed recorder loses none of them.

        Call it at least every second. With ``durable`` it also waits for the disk, so that a
        kernel crash loses none either; this can take long.
        """
        self._check_usable()
        try:
            for table in (*_REFERENCED, "events"):
                if table in self._streams:
                    self._streams[table].flush(durable=durable)
        except OSError as error:
            raise self._fail(error) from error

    def update_meta(self, **changes: Any) -> None:
        """Replace members of ``meta`` and rewrite meta.json. TypeError for an unknown member."""
        self.meta = replace(self.meta, **changes)
        try:
            write_meta(self.path, self.meta, durable=self._durable)
        except OSError as error:
            raise self._fail(error) from error

    def close(self, seal: bool = True) -> Path:
        """Close the files, seal the trace and return its directory; a second call does nothing.

        A writer that failed before is not sealed. Raises ArenatraceError if the disk fails now;
        the trace is valid all the same.
        """
        if self._closed:
            return self.path
        self._closed = True
        if self._failure is not None:
            self._abandon()
            self._add_warning(self._failure.message)
            return self.path
        try:
            for stream in self._streams.values():
                stream.close(durable=self._durable)
        except OSError as error:
            self._abandon()
            raise self._fail(error) from error
        if seal:
            seal_trace(self.path)
        return self.path

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close(seal=kind is None)

    def _check_usable(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._closed:
            raise ValueError("the trace writer is closed")

    def _fail(self, error: OSError) -> ArenatraceError:
        if error.errno in NO_SPACE:
            self._failure = DiskFullError(
                f"{self.path}: no space left on the device, recording stopped",
                "the trace has everything up to now; free some space or record elsewhere (-o)",
            )
        else:
            self._failure = IncompleteError(
                f"{self.path}: cannot be written: {error.strerror or error}",
                "the trace has everything up to now",
            )
        return self._failure

    def _add_warning(self, warning: str) -> None:
        """Add a warning to meta.json if the disk has space; the trace is valid without it."""
        self.meta = replace(self.meta, notices=(*self.meta.notices, warning))
        with contextlib.suppress(OSError):
            write_meta(self.path, self.meta, durable=self._durable)

    def _abandon(self) -> None:
        for stream in self._streams.values():
            with contextlib.suppress(OSError):
                stream.abandon()


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(mode=0o700)
    except FileExistsError as error:
        raise UsageError(
            f"{path}: exists already", "choose another name with -o, or move it away"
        ) from error
    except FileNotFoundError as error:
        raise UsageError(
            f"{path}: the directory {path.parent} does not exist", f"mkdir -p {path.parent}"
        ) from error
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be created: {error.strerror}",
            "choose a directory you may write to with -o",
        ) from error


def _conform(table: str, batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return ``batch`` under the schema of the table; ValueError names a column that differs."""
    if table not in TABLES:
        raise ValueError(f"no such table: {table}")
    schema = arrow_schema(table)
    if batch.schema.equals(schema, check_metadata=True):
        for at, field in _required_columns(table):
            if batch.column(at).null_count:
                raise ValueError(f"{table}.{field}: must not be null")
        return batch
    if batch.schema.names != schema.names:
        raise ValueError(f"{table}: columns are {batch.schema.names}, not {schema.names}")
    arrays = []
    for field, array in zip(schema, batch.columns, strict=True):
        if not array.type.equals(field.type):
            raise ValueError(f"{table}.{field.name}: is {array.type}, not {field.type}")
        if not field.nullable and array.null_count:
            raise ValueError(f"{table}.{field.name}: must not be null")
        arrays.append(array)
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


@cache
def _required_columns(table: str) -> list[tuple[int, str]]:
    """Return (index, name) of the columns that allow no null."""
    fields = enumerate(arrow_schema(table))
    return [(at, field.name) for at, field in fields if not field.nullable]
