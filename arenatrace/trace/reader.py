"""Read a trace directory, sealed or not, whole or torn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from arenatrace.errors import TraceError
from arenatrace.schema import KEYED, LOST_NOTES, TABLES
from arenatrace.trace.checksum import crc32, damaged
from arenatrace.trace.folder import trace_directories
from arenatrace.trace.losses import POSSIBLY_REMOVED, REMOVED, TORN
from arenatrace.trace.meta import Meta, read_meta
from arenatrace.trace.polars_schema import polars_schema
from arenatrace.trace.tables import DAMAGED, is_rewritten, merge_rows, open_parquet


class Trace:
    """An open trace.

    Attributes:
        path: the trace directory.
        meta: its meta.json.
        warnings: messages about the trace for the user.
        lost: lost events by label. Counts of ``meta``, and what opening found: a torn tail of
            the events, a missing events file and an unknown end count as 1 each.

    ``tables``, if given, are all tables in the form that ``scan`` returns; no file is read then.
    """

    def __init__(
        self, path: Path, meta: Meta, tables: Mapping[str, pl.LazyFrame] | None = None
    ) -> None:
        self.path = path
        self.meta = meta
        self.warnings: list[str] = list(meta.notices)
        self.lost: dict[str, int] = dict(meta.lost)
        if meta.filters:
            options = [f"--{kind} {name}" for kind, names in meta.filters.items() for name in names]
            self.warnings.append(f"recorded with filters: {' '.join(options)}")
        self._tables: dict[str, pl.LazyFrame] = dict(tables or {})
        if tables is not None:
            return
        if not meta.sealed:
            self.warnings.append("not sealed: the recorder is still running or was killed")
        for table in TABLES:
            self._tables[table] = self._open_table(table)

    def scan(self, table: str) -> pl.LazyFrame:
        """Return the rows of ``table`` with the columns of the schema (KeyError: unknown table).

        A missing table is empty, a missing column is null. Kinds and outcomes are codes, comm is
        a Categorical. Events are in (ts_ns, seq) order; keyed tables have one row per key.
        Damage that only shows while rows are read raises a polars error at ``collect``; call
        ``collect`` inside ``reading()``.
        """
        return self._tables[table]

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Turn errors of polars while it reads the files of this trace into a TraceError."""
        try:
            yield
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
            raise TraceError(
                f"{self.path}: cannot be read: {_first_line(error)}", DAMAGED
            ) from error

    def _open_table(self, table: str) -> pl.LazyFrame:
        stream = self.path / f"{table}.arrows"
        parquet = self.path / f"{table}.parquet"
        # The streams count until meta.json says sealed: sealing may have been interrupted.
        candidates = (parquet, stream) if self.meta.sealed else (stream, parquet)
        for file in candidates:
            if file.exists():
                if file == stream:
                    return self._recover_stream(table, file)
                return self._open_parquet(table, file)
        if self.meta.sealed:
            self.warnings.append(f"{table}: the file is missing; the table is read as empty")
            if table == "events":
                self.lost["file missing"] = 1
        return pl.LazyFrame(schema=polars_schema(table))

    def _open_parquet(self, table: str, file: Path) -> pl.LazyFrame:
        checksum = self.meta.checksums.get(file.name)
        foreign = is_rewritten(file)
        intact = checksum is not None and crc32(file) == checksum
        rewritten = checksum is not None and not intact
        if rewritten and not foreign:
            raise damaged(file)
        rows = open_parquet(table, file, verified=intact and not foreign)
        if rewritten:
            self.warnings.append(
                f"{table}: another program rewrote the file after it was sealed; its content "
                "cannot be verified"
            )
            self._count_removed(table, rows)
            # Another program may have written a row twice.
            rows = merge_rows(table, rows)
        return rows if table != "events" or intact else self._repaired(rows)

    def _count_removed(self, table: str, rows: pl.LazyFrame) -> None:
        """Count the rows that a rewritten table lacks, by the sealed row count, else by seq.

        Recorders number events from 0 without gaps, so each missing number is a missing event. A
        row that is there twice counts once. Without a sealed row count, events may be missing
        after the last one; this counts as one loss.
        """
        key = "seq" if table == "events" else KEYED.get(table)
        distinct = pl.col(key).n_unique() if key else pl.len()
        last = pl.col("seq").max() if table == "events" else pl.lit(None)
        with self.reading():
            found, highest = rows.select(distinct, last.alias("last")).collect().row(0)
        sealed = self.meta.rows.get(table, 0 if highest is None else highest + 1)
        removed = sealed - found
        if table == "events" and table not in self.meta.rows:
            self.lost[POSSIBLY_REMOVED] = 1
            self.warnings.append(
                "events: the trace has no count of its events; some may be missing after the last"
            )
        if removed <= 0:
            return
        noun = "events" if table == "events" else f"rows of {table}"
        self.warnings.append(f"{removed:,} {noun} were removed: results may depend on them")
        label = REMOVED if table == "events" else LOST_NOTES
        self.lost[label] = self.lost.get(label, 0) + removed

    def _repaired(self, events: pl.LazyFrame) -> pl.LazyFrame:
        from arenatrace.trace.disorder import UNKNOWN_KINDS, repair_events

        with self.reading():
            events, warnings, unknown = repair_events(events)
        self.warnings += warnings
        if unknown:
            self.lost[UNKNOWN_KINDS] = unknown
        return events

    def _recover_stream(self, table: str, file: Path) -> pl.LazyFrame:
        # Importing pyarrow takes longer than reading a small sealed trace.
        from arenatrace.trace.recover import read_stream, torn_warning

        rows, tail = read_stream(table, file)
        if tail.dropped_bytes:
            self.warnings.append(torn_warning(table, tail))
            if table == "events":
                self.lost[TORN] = 1
        frame = merge_rows(table, rows.lazy())
        if table == "events":
            # A stream has its events in ring order: sorting them needs no warning.
            frame = self._repaired(frame.collect().sort("ts_ns", "seq").lazy())
        return frame


def open_trace(path: str | Path) -> Trace:
    """Open the trace directory ``path``, or the only trace in the folder ``path``.

    Reads the rows of an unsealed trace into memory; rows of a sealed trace are read by
    ``collect``. Raises TraceError, with a hint, for anything but a readable trace.
    """
    directory = Path(path)
    try:
        return Trace(*_find(directory))
    except (OSError, ValueError) as error:
        # ValueError: a path with a NUL byte in it.
        raise TraceError(f"{directory}: cannot be read: {_first_line(error)}", DAMAGED) from error


def find_trace(path: str | Path) -> Path:
    """Return the trace directory that ``open_trace`` would open; the same TraceError."""
    directory = Path(path)
    try:
        return _find(directory)[0]
    except (OSError, ValueError) as error:
        raise TraceError(f"{directory}: cannot be read: {_first_line(error)}", DAMAGED) from error


def _find(directory: Path) -> tuple[Path, Meta]:
    found = trace_directories(directory)
    if len(found) > 1:
        names = ", ".join(path.name for path in found[:3])
        more = ", …" if len(found) > 3 else ""
        raise TraceError(
            f"{directory}: contains {len(found)} traces",
            f"give one of them; summary and faults accept the folder: {names}{more}",
        )
    return found[0], read_meta(found[0])


def _first_line(error: BaseException) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
