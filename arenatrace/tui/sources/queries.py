"""Queries about faults and pages that sources share."""

from __future__ import annotations

from typing import Any

import polars as pl

from arenatrace.analysis.pages.address_space import address_space
from arenatrace.analysis.pages.positions import Position, is_before
from arenatrace.trace.reader import Trace
from arenatrace.tui.page_glyphs import Picture, make_picture


def fault_position(rows: pl.DataFrame, number: int) -> Position | None:
    """Return the position of fault ``number`` in rows of ``diagnosed_faults``; None if absent."""
    found = rows.filter(pl.col("fault") == number).select("ts_ns", "seq")
    return found.row(0) if len(found) else None


def picture(trace: Trace, rows: pl.DataFrame | None, arena: int, at: Position) -> Picture:
    """Return the pages of ``arena`` just before ``at``, and the faulted pages in ``rows``."""
    ranges = address_space(trace, arena, at)
    if rows is None:
        return make_picture(arena, at, ranges.iter_rows(named=True), ())
    faulted = rows.filter((pl.col("arena") == arena) & pl.col("page").is_not_null() & is_before(at))
    return make_picture(arena, at, ranges.iter_rows(named=True), faulted["page"].to_list())


def programs(trace: Trace) -> list[dict[str, Any]]:
    """Return every program, with the number of its lines in place of the lines."""
    rows = trace.scan("programs").with_columns(lines=pl.col("lines").list.len().fill_null(0))
    return rows.collect().to_dicts()
