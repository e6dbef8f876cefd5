"""Read a trace directory, sealed or not, whole or torn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from arenatrace.errors import TraceError
from arenatrace.schema import TABLES
from arenatrace.trace.checksum import check, crc32
from arenatrace.trace.folder import trace_directories
from arenatrace.trace.losses import REMOVED, TORN
from arenatrace.trace.meta import Meta, read_meta
from arenatrace.trace.polars_schema import polars_schema
from arenatrace.trace.tables import DAMAGED, is_rewritten, merge_rows, open_parquet


class Trace:
    """An open trace: its ``meta``, its tables, and ``notices``, what a user must be told.

    ``lost`` counts events by what lost them: those of ``meta`` and, as at least one each, a
    torn tail of the events and a missing events file. ``tables``, if given, are all tables as
    ``scan`` gives them: nothing is read then.
    """

    def __init__(
        self, path: Path, meta: Meta, tables: Mapping[str, pl.LazyFrame] | None = None
    ) -> None:
        self.path = path
        self.meta = meta
        self.notices: list[str] = list(meta.notices)
        self.lost: dict[str, int] = dict(meta.lost)
        if meta.filters:
            words = [f"--{kind} {word}" for kind, of in meta.filters.items() for word in of]
            self.notices.append(f"filtered when it was recorded: {' '.join(words)}")
        self._tables: dict[str, pl.LazyFrame] = dict(tables or {})
        if tables is not None:
            return
        if not meta.sealed:
            self.notices.append("not sealed: the recorder is still running or was killed")
        for table in TABLES:
            self._tables[table] = self._open_table(table)

    def scan(self, table: str) -> pl.LazyFrame:
        """The rows of ``table`` (KeyError for an unknown one), with the columns of the schema.

        A table the trace does not have is empty, a column it does not have is null. Kinds
        and outcomes are their codes, comm is a Categorical. Events are in (ts_ns, seq) order;
        keyed tables have one row per key.
        Damage that shows only while rows are read raises a polars error at ``collect``:
        do that inside ``reading()``.
        """
        return self._tables[table]

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Turn what polars raises while it reads this trace's files into a TraceError."""
        try:
            yield
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
            raise TraceError(
                f"{self.path}: cannot be read: {_first_line(error)}", DAMAGED
            ) from error

    def _open_table(self, table: str) -> pl.LazyFrame:
        stream = self.path / f"{table}.arrows"
        parquet = self.path / f"{table}.parquet"
        # Until meta.json says sealed the streams are the truth: a seal may have been cut short.
        candidates = (parquet, stream) if self.meta.sealed else (stream, parquet)
        for file in candidates:
            if file.exists():
                if file == stream:
                    return self._recovered(table, file)
                return self._open_parquet(table, file)
        if self.meta.sealed:
            self.notices.append(f"{table}: the file is missing, the table is taken as empty")
            if table == "events":
                self.lost["file missing"] = 1
        return pl.LazyFrame(schema=polars_schema(table))

    def _open_parquet(self, table: str, file: Path) -> pl.LazyFrame:
        checksum = self.meta.checksums.get(file.name)
        rewritten = checksum is not None and crc32(file) != checksum and is_rewritten(file)
        if not rewritten:
            check(file, checksum)
        rows = open_parquet(table, file)
        if rewritten:
            self.notices.append(
                f"{table}: another program rewrote the file after it was sealed; its content "
                "cannot be verified"
            )
        if table != "events" or (checksum and not rewritten):
            return rows
        if rewritten:
            self._count_removed(rows)
        return self._put_right(rows)

    def _count_removed(self, events: pl.LazyFrame) -> None:
        """Count events that a rewritten table lacks: by the sealed number of rows, else by seq.

        Recorders number events from 0 without gaps, so a missing number is a missing event.
        """
        with self.reading():
            seq = pl.col("seq")
            rows, numbered = events.select(pl.len(), seq.max() + 1).collect().row(0)
        removed = self.meta.rows.get("events", numbered or 0) - rows
        if removed > 0:
            self.lost[REMOVED] = removed
            self.notices.append(f"{removed:,} events were removed: answers may rest on them")

    def _put_right(self, events: pl.LazyFrame) -> pl.LazyFrame:
        from arenatrace.trace.disorder import UNKNOWN_KINDS, put_right

        with self.reading():
            events, notices, unknown = put_right(events)
        self.notices += notices
        if unknown:
            self.lost[UNKNOWN_KINDS] = unknown
        return events

    def _recovered(self, table: str, file: Path) -> pl.LazyFrame:
        # pyarrow takes longer to import than all that a small sealed trace needs.
        from arenatrace.trace.recover import recovered, torn_notice

        rows, tail = recovered(table, file)
        if tail.dropped_bytes:
            self.notices.append(torn_notice(table, tail))
            if table == "events":
                self.lost[TORN] = 1
        frame = merge_rows(table, rows.lazy())
        if table == "events":
            # A stream has its events in the order of the ring, which is no mistake.
            frame = self._put_right(frame.collect().sort("ts_ns", "seq").lazy())
        return frame


def open_trace(path: str | Path) -> Trace:
    """Open the trace directory ``path``, or the only trace in the directory ``path``.

    Raises TraceError, with a hint, for anything that is not a readable trace. The rows of
    an unsealed trace are read into memory here; those of a sealed one when collected.
    """
    directory = Path(path)
    try:
        return Trace(*_find(directory))
    except (OSError, ValueError) as error:
        # ValueError: a path with a NUL byte in it.
        raise TraceError(f"{directory}: cannot be read: {_first_line(error)}", DAMAGED) from error


def find_trace(path: str | Path) -> Path:
    """The trace directory that ``open_trace`` would open; TraceError as it does."""
    directory = Path(path)
    try:
        return _find(directory)[0]
    except (OSError, ValueError) as error:
        raise TraceError(f"{directory}: cannot be read: {_first_line(error)}", DAMAGED) from error


def _find(directory: Path) -> tuple[Path, Meta]:
    inside = trace_directories(directory)
    if len(inside) > 1:
        names = ", ".join(found.name for found in inside[:3])
        more = ", …" if len(inside) > 3 else ""
        raise TraceError(
            f"{directory}: holds {len(inside)} traces",
            f"give one of them, or look at all with summary and faults: {names}{more}",
        )
    return inside[0], read_meta(inside[0])


def _first_line(error: BaseException) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
