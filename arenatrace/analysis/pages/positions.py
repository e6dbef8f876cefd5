"""Positions in a trace: the point just before one event."""

from __future__ import annotations

import polars as pl

from arenatrace.schema import Kind
from arenatrace.trace.reader import Trace

#: (ts_ns, seq) of the next event; every event before it has happened.
Position = tuple[int, int]

#: After every event.
END: Position = ((1 << 63) - 1, 0)

_STEPS = [
    int(kind)
    for kind in (
        Kind.PAGE_ALLOC,
        Kind.PAGE_FREE,
        Kind.FREE_DRAIN,
        Kind.PAGE_RESERVE,
        Kind.USER_FAULT,
        Kind.KERNEL_FAULT,
        Kind.PROG_FAULT,
    )
]


def position_after(trace: Trace, arena: int, at: Position) -> Position:
    """Return the position one page event of ``arena`` after ``at``; ``END`` after the last."""
    later = _events_of(trace, arena).filter(~is_before(at)).head(2).collect()
    return END if len(later) < 2 else later.row(1)


def position_before(trace: Trace, arena: int, at: Position) -> Position:
    """Return the position one page event of ``arena`` before ``at``; ``at`` before the first."""
    earlier = _events_of(trace, arena).filter(is_before(at)).tail(1).collect()
    return earlier.row(0) if len(earlier) else at


def _events_of(trace: Trace, arena: int) -> pl.LazyFrame:
    wanted = (pl.col("arena") == arena) & pl.col("kind").is_in(_STEPS)
    return trace.scan("events").filter(wanted).select("ts_ns", "seq")


def is_before(at: Position) -> pl.Expr:
    """Whether an event, by its ``ts_ns`` and ``seq``, comes before ``at``."""
    ts_ns, seq = at
    return (pl.col("ts_ns") < ts_ns) | ((pl.col("ts_ns") == ts_ns) & (pl.col("seq") < seq))
