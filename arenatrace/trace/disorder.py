"""Repair of event tables that no recorder writes: out of order, duplicates, unknown kinds."""

from __future__ import annotations

import polars as pl

from arenatrace.schema import Kind

_ORDER = ("ts_ns", "seq")

#: Loss label of dropped events of unknown kinds.
UNKNOWN_KINDS = "events of unknown kinds"


def repair_events(events: pl.LazyFrame) -> tuple[pl.LazyFrame, list[str], int]:
    """Sort events by (ts_ns, seq), and drop duplicates and unknown kinds.

    This reads every row. Files of the recorder with a matching checksum do not need it.

    Returns:
        The events, one warning for each repair, and the number of dropped events of unknown
        kinds.
    """
    warnings = []
    ts_ns, seq = (pl.col(name) for name in _ORDER)
    backwards = (ts_ns < ts_ns.shift(1)) | ((ts_ns == ts_ns.shift(1)) & (seq < seq.shift(1)))
    known = pl.col("kind").is_in([int(kind) for kind in Kind])
    disordered, unknown = _sums(events, backwards, ~known)
    if unknown:
        warnings.append(f"{unknown:,} events of unknown kinds are left out")
        events = events.filter(known)
    if disordered:
        warnings.append("the events were out of time order and were sorted")
        events = events.sort(_ORDER, maintain_order=True)
    # Different events with equal (ts_ns, seq) stay: only their order is unknown.
    duplicate = pl.all_horizontal(pl.all().eq_missing(pl.all().shift(1)))
    (duplicates,) = _sums(events, duplicate)
    if duplicates:
        warnings.append(f"{duplicates:,} duplicate events are left out")
        events = events.filter(~duplicate)
    return events, warnings, unknown


def _sums(events: pl.LazyFrame, *conditions: pl.Expr) -> tuple[int, ...]:
    counts = [condition.sum().alias(str(at)) for at, condition in enumerate(conditions)]
    return events.select(counts).collect(engine="streaming").row(0)
