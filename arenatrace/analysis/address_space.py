"""The address space of an arena at one moment, as ranges of pages."""

from __future__ import annotations

import polars as pl

from arenatrace.analysis.page_operations import LIVE_OPS, STATE_OPS, Op, operations, spread
from arenatrace.schema import Kind, Outcome
from arenatrace.trace.reader import Trace

#: Room for a code of ``Op`` below the order of an event.
_CODES = 16


def address_space(trace: Trace, arena: int, before: tuple[int, int]) -> pl.DataFrame:
    """Ranges of the user range of ``arena`` just before the event at ``before``, (ts_ns, seq).

    One row per range: ``first`` (page), ``pages`` and ``state``: ``free``, ``allocated`` (by a
    program or by a touch of user space), ``reserved``, ``scratched`` or ``unknown`` (nothing of
    it is in the trace, and the arena is older than the recording or allocations were not
    recorded). Empty for an arena whose size is not known. Works through the events in one pass
    and holds one number per page. A user of the ranges can take (2^63 - 1, 0) for the end.
    """
    known = trace.scan("arenas").filter(pl.col("arena") == arena).collect()
    if known.is_empty() or known["max_entries"][0] is None:
        return _ranges(pl.DataFrame(schema={"page": pl.UInt32, "state": pl.String}))
    size = known["max_entries"][0]
    pages = pl.DataFrame({"page": pl.int_range(size, dtype=pl.UInt32, eager=True)})
    untouched = "free"
    if known["preexisting"][0] or known["create_ts_ns"][0] is None or trace.meta.level == "faults":
        untouched = "unknown"
    last = _last_operations(_events_before(trace, arena, before), pages, arena)
    return _ranges(
        pages.join(last, on="page", how="left", maintain_order="left").select(
            "page", state=_state(untouched)
        )
    )


def _events_before(trace: Trace, arena: int, before: tuple[int, int]) -> pl.LazyFrame:
    ts_ns, seq = before
    earlier = (pl.col("ts_ns") < ts_ns) | ((pl.col("ts_ns") == ts_ns) & (pl.col("seq") < seq))
    return trace.scan("events").filter((pl.col("arena") == arena) & earlier).with_row_index("order")


def _last_operations(events: pl.LazyFrame, pages: pl.DataFrame, arena: int) -> pl.DataFrame:
    """``last`` and ``last_fill`` of each page that anything happened to."""
    keys = pages.select(pl.lit(arena, pl.UInt32).alias("arena"), "page")
    within = pl.col("pgoff") < len(pages)
    done = operations(events, also=("order",)).filter(
        pl.col("op").is_in([int(op) for op in (*STATE_OPS, Op.QUEUE)])
    )
    # Drains take everything that was queued before them.
    drains = (
        events.filter(pl.col("kind") == int(Kind.FREE_DRAIN))
        .select(pl.col("order").alias("drain"))
        .collect(engine="streaming")
    )
    queued = pl.col("op") == int(Op.QUEUE)
    order = pl.col("order").cast(pl.Int64)
    done = (
        done.join_asof(
            drains.lazy(),
            left_on="order",
            right_on="drain",
            strategy="forward",
            check_sortedness=False,
        )
        .filter(~queued | pl.col("drain").is_not_null())
        .with_columns(
            order=pl.when(queued).then(pl.col("drain").cast(pl.Int64)).otherwise(order),
            op=pl.when(queued).then(int(Op.FREE)).otherwise("op").cast(pl.UInt8),
        )
        .drop("drain")
    )
    installs = events.filter(
        (pl.col("kind") == int(Kind.KERNEL_FAULT))
        & (pl.col("outcome") == int(Outcome.SCRATCH_INSTALLED))
        & within
    ).select(page="pgoff", order=order, op=pl.lit(int(Op.INSTALL), pl.UInt8))
    columns = ("page", "order", "op")
    rows = pl.concat(
        [
            done.filter((pl.col("pages") == 1) & within).select(
                pl.col("pgoff").alias("page"), "order", "op"
            ),
            spread(done.filter(pl.col("pages") > 1), keys).select(columns),
            installs.select(columns),
        ]
    )
    code = pl.col("order") * _CODES + pl.col("op").cast(pl.Int64)
    is_state = pl.col("op") != int(Op.INSTALL)
    fills = pl.col("op") != int(Op.RESERVE)
    return (
        rows.group_by("page")
        .agg(last=code.filter(is_state).max() % _CODES, last_fill=code.filter(fills).max() % _CODES)
        .collect(engine="streaming")
    )


def _state(untouched: str) -> pl.Expr:
    return (
        pl.when(pl.col("last_fill") == int(Op.INSTALL))
        .then(pl.lit("scratched"))
        .when(pl.col("last").is_in([int(op) for op in LIVE_OPS]))
        .then(pl.lit("allocated"))
        .when(pl.col("last") == int(Op.RESERVE))
        .then(pl.lit("reserved"))
        .when(pl.col("last") == int(Op.FREE))
        .then(pl.lit("free"))
        .otherwise(pl.lit(untouched))
    )


def _ranges(pages: pl.DataFrame) -> pl.DataFrame:
    """Runs of pages of one state."""
    return (
        pages.with_columns(run=pl.col("state").rle_id())
        .group_by("run", maintain_order=True)
        .agg(
            first=pl.col("page").first(),
            pages=pl.len().cast(pl.UInt32),
            state=pl.col("state").first(),
        )
        .drop("run")
    )
