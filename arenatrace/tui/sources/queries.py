"""Questions about faults and pages that views ask a source."""

from __future__ import annotations

from typing import Any

import polars as pl

from arenatrace.analysis.pages.address_space import address_space
from arenatrace.analysis.pages.positions import Position, is_before
from arenatrace.trace.reader import Trace
from arenatrace.tui.picture import Picture, picture_of


def moment_of(rows: pl.DataFrame, number: int) -> Position | None:
    """Just before a fault of ``rows``, those of ``diagnosed_faults``."""
    found = rows.filter(pl.col("fault") == number).select("ts_ns", "seq")
    return found.row(0) if len(found) else None


def picture(trace: Trace, rows: pl.DataFrame | None, arena: int, at: Position) -> Picture:
    """The pages of ``arena`` just before ``at``, and those of ``rows`` that had faulted."""
    ranges = address_space(trace, arena, at)
    if rows is None:
        return picture_of(arena, at, ranges.iter_rows(named=True), ())
    faulted = rows.filter((pl.col("arena") == arena) & pl.col("page").is_not_null() & is_before(at))
    return picture_of(arena, at, ranges.iter_rows(named=True), faulted["page"].to_list())


def programs(trace: Trace) -> list[dict[str, Any]]:
    """Every program, with the number of its known lines in place of the lines."""
    rows = trace.scan("programs").with_columns(lines=pl.col("lines").list.len().fill_null(0))
    return rows.collect().to_dicts()
