"""Join consecutive recordings of one recorder into one sealed trace.

A flight recorder writes short segments and keeps a few of them. Each is a trace of its own
under the same numbering: arenas, programs, stacks and events mean the same in all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl
import pyarrow as pa

from arenatrace.schema import KEYED, TABLES
from arenatrace.trace.arrow_schema import arrow_schema
from arenatrace.trace.losses import TORN
from arenatrace.trace.meta import Meta, read_meta
from arenatrace.trace.recover import Tail, batches, torn_notice
from arenatrace.trace.tables import merge_rows
from arenatrace.trace.writer import TraceWriter

#: Column that says since when an object of a keyed table was there.
_BORN = {"arenas": "create_ts_ns", "programs": "load_ts_ns"}


def join(segments: Sequence[Path], target: Path, notices: Sequence[str] = ()) -> Meta:
    """Make the sealed trace ``target`` of ``segments``, oldest first; its ``Meta``.

    The trace begins where the first segment does; what was there by then is marked as
    pre-existing. Losses and notices of the segments are its own. Raises TraceError for a
    segment that is not readable, UsageError if ``target`` exists or cannot be made, and
    ArenatraceError if the disk is full or fails; ``target`` is a trace of what was written then.
    """
    metas = [read_meta(segment) for segment in segments]
    meta = _joined(metas, notices)
    torn: dict[str, Tail] = {}
    with TraceWriter(target, meta) as writer:
        for table in TABLES:
            tails = [Tail() for _ in segments]
            rows = _batches(table, segments, tails)
            for batch in _keyed(table, rows, meta.start_ts_ns) if table in KEYED else rows:
                writer.append(table, batch)
            for tail in tails:
                if tail.dropped_bytes:
                    torn[table] = tail
        if torn:
            said = tuple(torn_notice(table, tail) for table, tail in torn.items())
            lost = {**meta.lost, TORN: 1} if "events" in torn else meta.lost
            writer.update_meta(notices=(*meta.notices, *said), lost=lost)
        return writer.meta


def _joined(metas: Sequence[Meta], notices: Sequence[str]) -> Meta:
    lost: dict[str, int] = {}
    said: dict[str, None] = {}
    for meta in metas:
        for what, count in meta.lost.items():
            lost[what] = lost.get(what, 0) + count
        said.update(dict.fromkeys(meta.notices))
    last = metas[-1]
    return replace(
        metas[0],
        end_ts_ns=last.end_ts_ns,
        command_status=last.command_status,
        lost=lost,
        notices=(*said, *notices),
        sealed=False,
    )


def _batches(table: str, segments: Sequence[Path], tails: list[Tail]) -> Iterator[pa.RecordBatch]:
    for segment, tail in zip(segments, tails, strict=True):
        file = segment / f"{table}.arrows"
        if file.exists():
            yield from batches(file, arrow_schema(table), tail)


def _keyed(
    table: str, rows: Iterator[pa.RecordBatch], start_ts_ns: int
) -> Iterator[pa.RecordBatch]:
    """One row per key; what was born before the start was there before the recording."""
    schema = arrow_schema(table)
    frame = pl.from_arrow(pa.Table.from_batches(rows, schema))
    if not isinstance(frame, pl.DataFrame):  # from_arrow's type also covers a lone column
        raise TypeError(type(frame).__name__)
    merged = merge_rows(table, frame.lazy())
    if table in _BORN:
        born = pl.col(_BORN[table])
        merged = merged.with_columns(preexisting=(born < start_ts_ns).fill_null(value=True))
    yield from merged.collect().to_arrow().cast(schema).combine_chunks().to_batches()
