"""Arenas of a trace and the states of their pages at a given time."""

from __future__ import annotations

from typing import Any

import polars as pl

from arenatrace.analysis.pages.address_space import address_space
from arenatrace.analysis.pages.positions import END
from arenatrace.trace.reader import Trace

SCHEMA = "arenatrace.arenas/1"

_COLUMNS = (
    *("arena", "map_id", "name", "kern_vm_start", "user_vm_start", "max_entries"),
    *("preexisting", "create_ts_ns", "destroy_ts_ns"),
)


def arenas_at(trace: Trace, at_ns: int | None, wanted: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the object that ``arenas --json`` prints, with addresses as integers.

    ``ranges`` are the rows of ``address_space``, and ``pages`` sums them by state. An arena that
    did not exist at that time has none.

    Args:
        trace: the trace.
        at_ns: CLOCK_MONOTONIC time in ns, events of that time included; None: the end of each
            arena or of the recording.
        wanted: map names or ids; empty: all arenas.
    """
    rows = trace.scan("arenas").select(_COLUMNS).sort("arena").collect().iter_rows(named=True)
    found = [row for row in rows if not wanted or _names(row) & set(wanted)]
    arenas = [_with_pages(trace, row, at_ns) for row in found]
    return {"schema": SCHEMA, "at_ts_ns": at_ns, "arenas": arenas}


def _names(row: dict[str, Any]) -> set[str]:
    return {str(row[name]) for name in ("name", "map_id") if row[name] is not None}


def _with_pages(trace: Trace, row: dict[str, Any], at_ns: int | None) -> dict[str, Any]:
    ranges = address_space(trace, row["arena"], END if at_ns is None else (at_ns + 1, 0))
    pages = ranges.group_by("state").agg(pl.col("pages").sum()).sort("state")
    return {**row, "pages": dict(pages.iter_rows()), "ranges": ranges.to_dicts()}
