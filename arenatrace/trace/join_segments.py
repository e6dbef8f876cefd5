"""Join consecutive segments of a flight recorder into one sealed trace.

Each segment is a trace. All segments of a recorder share their numbering: an index of an arena, a
program, a stack or an event means the same in all.
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
from arenatrace.trace.recover import Tail, batches, torn_warning
from arenatrace.trace.tables import merge_rows
from arenatrace.trace.writer import TraceWriter

#: Column with the creation time of an object, by table.
_CREATED = {"arenas": "create_ts_ns", "programs": "load_ts_ns"}


def join(segments: Sequence[Path], target: Path, notices: Sequence[str] = ()) -> Meta:
    """Join ``segments``, oldest first, into the sealed trace ``target`` and return its ``Meta``.

    The trace starts with the first segment; older arenas and programs are marked as
    pre-existing. It takes over the losses and warnings of the segments; ``notices`` are added.

    Raises TraceError for an unreadable segment, UsageError if ``target`` exists or cannot be
    created, and ArenatraceError if the disk is full or fails; ``target`` then has the rows written
    until then.
    """
    metas = [read_meta(segment) for segment in segments]
    meta = _join_meta(metas, notices)
    torn: dict[str, Tail] = {}
    with TraceWriter(target, meta) as writer:
        for table in TABLES:
            tails = [Tail() for _ in segments]
            rows = _batches(table, segments, tails)
            for batch in _merge_keyed(table, rows, meta.start_ts_ns) if table in KEYED else rows:
                writer.append(table, batch)
            for tail in tails:
                if tail.dropped_bytes:
                    torn[table] = tail
        if torn:
            warnings = tuple(torn_warning(table, tail) for table, tail in torn.items())
            lost = {**meta.lost, TORN: 1} if "events" in torn else meta.lost
            writer.update_meta(notices=(*meta.notices, *warnings), lost=lost)
        return writer.meta


def _join_meta(metas: Sequence[Meta], notices: Sequence[str]) -> Meta:
    lost: dict[str, int] = {}
    warnings: dict[str, None] = {}
    for meta in metas:
        for label, count in meta.lost.items():
            lost[label] = lost.get(label, 0) + count
        warnings.update(dict.fromkeys(meta.notices))
    last = metas[-1]
    return replace(
        metas[0],
        end_ts_ns=last.end_ts_ns,
        command_status=last.command_status,
        lost=lost,
        notices=(*warnings, *notices),
        sealed=False,
    )


def _batches(table: str, segments: Sequence[Path], tails: list[Tail]) -> Iterator[pa.RecordBatch]:
    for segment, tail in zip(segments, tails, strict=True):
        file = segment / f"{table}.arrows"
        if file.exists():
            yield from batches(file, arrow_schema(table), tail)


def _merge_keyed(
    table: str, rows: Iterator[pa.RecordBatch], start_ts_ns: int
) -> Iterator[pa.RecordBatch]:
    """Yield one row per key; objects created before ``start_ts_ns`` are pre-existing."""
    schema = arrow_schema(table)
    frame = pl.from_arrow(pa.Table.from_batches(rows, schema))
    if not isinstance(frame, pl.DataFrame):  # from_arrow may return a Series
        raise TypeError(type(frame).__name__)
    merged = merge_rows(table, frame.lazy())
    if table in _CREATED:
        created = pl.col(_CREATED[table])
        merged = merged.with_columns(preexisting=(created < start_ts_ns).fill_null(value=True))
    yield from merged.collect().to_arrow().cast(schema).combine_chunks().to_batches()
