"""The arenas of a trace and what their pages held at one moment."""

from __future__ import annotations

from typing import Any

import polars as pl

from arenatrace.analysis.pages.address_space import address_space
from arenatrace.analysis.pages.positions import END
from arenatrace.trace.reader import Trace

SCHEMA = "arenatrace.arenas/1"

_FACTS = (
    *("arena", "map_id", "name", "kern_vm_start", "user_vm_start", "max_entries"),
    *("preexisting", "create_ts_ns", "destroy_ts_ns"),
)


def arenas_at(trace: Trace, at_ns: int | None, wanted: tuple[str, ...] = ()) -> dict[str, Any]:
    """The object that ``arenas --json`` prints, with addresses as integers.

    ``at_ns`` is a CLOCK_MONOTONIC time in ns, everything of that very moment included; None is
    the end, of each arena or of the recording. ``wanted`` are map names or ids, all if empty.
    ``ranges`` are those of ``address_space``, ``pages`` sums them by state. An arena that was
    not there at that time has none.
    """
    rows = trace.scan("arenas").select(_FACTS).sort("arena").collect().iter_rows(named=True)
    found = [row for row in rows if not wanted or _named(row) & set(wanted)]
    return {"schema": SCHEMA, "at_ts_ns": at_ns, "arenas": [_told(trace, r, at_ns) for r in found]}


def _named(row: dict[str, Any]) -> set[str]:
    return {str(row[name]) for name in ("name", "map_id") if row[name] is not None}


def _told(trace: Trace, row: dict[str, Any], at_ns: int | None) -> dict[str, Any]:
    ranges = address_space(trace, row["arena"], END if at_ns is None else (at_ns + 1, 0))
    pages = ranges.group_by("state").agg(pl.col("pages").sum()).sort("state")
    return {**row, "pages": dict(pages.iter_rows()), "ranges": ranges.to_dicts()}
