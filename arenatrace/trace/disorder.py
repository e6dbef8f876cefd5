"""Events that no recorder writes so: out of order, more than once, of unknown kinds."""

from __future__ import annotations

import polars as pl

from arenatrace.schema import Kind

_PLACE = ("ts_ns", "seq")


#: Label of the loss that events of unknown kinds are.
UNKNOWN_KINDS = "events of unknown kinds"


def put_right(events: pl.LazyFrame) -> tuple[pl.LazyFrame, list[str], int]:
    """``events`` in the order of (ts_ns, seq), each once, and what had to be done for that.

    The number is of those left out because their kind is not known. For a table that somebody
    else wrote: what is asked here costs a look at every row.
    """
    notices = []
    ts_ns, seq = (pl.col(name) for name in _PLACE)
    backwards = (ts_ns < ts_ns.shift(1)) | ((ts_ns == ts_ns.shift(1)) & (seq < seq.shift(1)))
    known = pl.col("kind").is_in([int(kind) for kind in Kind])
    disordered, unknown = _sums(events, backwards, ~known)
    if unknown:
        notices.append(f"{unknown:,} events are of no kind known here: they are left out")
        events = events.filter(known)
    if disordered:
        notices.append("the events are not in the order of time: they were sorted")
        events = events.sort(_PLACE, maintain_order=True)
    # Others at the same place are events of their own, in an order that is not known.
    again = pl.all_horizontal(pl.all().eq_missing(pl.all().shift(1)))
    (doubles,) = _sums(events, again)
    if doubles:
        notices.append(f"{doubles:,} events are there more than once: they count once")
        events = events.filter(~again)
    return events, notices, unknown


def _sums(events: pl.LazyFrame, *conditions: pl.Expr) -> tuple[int, ...]:
    counts = [condition.sum().alias(str(at)) for at, condition in enumerate(conditions)]
    return events.select(counts).collect(engine="streaming").row(0)
