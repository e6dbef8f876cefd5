"""Moments in the life of an arena: just before one of its events."""

from __future__ import annotations

import polars as pl

from arenatrace.schema import Kind
from arenatrace.trace.reader import Trace

#: (ts_ns, seq) of the event that has not happened yet.
Moment = tuple[int, int]

#: After every event.
END: Moment = ((1 << 63) - 1, 0)

_CHANGES = [
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


def moment_after(trace: Trace, arena: int, at: Moment) -> Moment:
    """The moment when one more event of ``arena`` has happened than at ``at``."""
    later = _of(trace, arena).filter(~is_before(at)).head(2).collect()
    return END if len(later) < 2 else later.row(1)


def moment_before(trace: Trace, arena: int, at: Moment) -> Moment:
    """The moment before the last event of ``arena`` that had happened at ``at``; ``at`` if none."""
    earlier = _of(trace, arena).filter(is_before(at)).tail(1).collect()
    return earlier.row(0) if len(earlier) else at


def _of(trace: Trace, arena: int) -> pl.LazyFrame:
    wanted = (pl.col("arena") == arena) & pl.col("kind").is_in(_CHANGES)
    return trace.scan("events").filter(wanted).select("ts_ns", "seq")


def is_before(at: Moment) -> pl.Expr:
    """Return whether an event, by its ``ts_ns`` and ``seq``, comes before ``at``."""
    ts_ns, seq = at
    return (pl.col("ts_ns") < ts_ns) | ((pl.col("ts_ns") == ts_ns) & (pl.col("seq") < seq))
