"""Address space of an arena at a given position, as ranges of pages."""

from __future__ import annotations

from typing import Any

import polars as pl

from arenatrace.analysis.pages.coverage import Coverage, read_coverage
from arenatrace.analysis.pages.history import REPLACED_BY, STICKY
from arenatrace.analysis.pages.operations import LIVE_OPS, STATE_OPS, Op, explode_pages, operations
from arenatrace.analysis.pages.positions import END, Position, is_before
from arenatrace.schema import Kind, Outcome, ProfileName
from arenatrace.trace.reader import Trace

#: Factor by which the order of an event is shifted to make room for a code of ``Op``.
_CODES = 16


def address_space(trace: Trace, arena: int, before: Position) -> pl.DataFrame:
    """Return the ranges of the user range of ``arena`` just before the event at ``before``.

    One row per range: ``first`` (page), ``pages``, ``state`` and ``sure``. ``state`` is one of:
    ``free``; ``allocated``, by a program or by a touch of user space; ``reserved``; ``scratched``;
    ``unknown``: no operation on the range is in the trace and the arena is older than the
    recording, or a deferred free may have been drained before or after a scratch install.
    ``sure`` is false where page operations were lost since the last recorded one, or are not
    recorded at all.

    The result is empty for an arena of unknown size and for one that did not exist. At ``END`` a
    destroyed arena has its last states. One pass over the events, a few numbers per page.
    """
    rows = trace.scan("arenas").filter(pl.col("arena") == arena).collect()
    if rows.is_empty() or not _existed(rows.row(0, named=True), before):
        return _ranges(pl.DataFrame(schema=_DTYPES))
    row = rows.row(0, named=True)
    events = trace.scan("events")
    coverage = read_coverage(trace.meta, trace.lost, events)
    is_old = bool(row["preexisting"]) or row["create_ts_ns"] is None
    untouched = "unknown" if is_old or coverage.no_history is not None else "free"
    pages = pl.DataFrame({"page": pl.int_range(row["max_entries"], dtype=pl.UInt32, eager=True)})
    ends = STICKY if trace.meta.profile == ProfileName.SCRATCH_STICKY else REPLACED_BY
    last = _last_operations(_events_before(events, arena, before), pages, arena, ends)
    states = pages.join(last, on="page", how="left", maintain_order="left").with_columns(
        state=_state(untouched),
        since_ns=pl.coalesce("since_ns", pl.lit(row["create_ts_ns"], pl.Int64)),
    )
    return _ranges(
        states.with_columns(sure=_sure(states, coverage, before[0])).select(list(_DTYPES))
    )


_DTYPES = {"page": pl.UInt32, "state": pl.String, "sure": pl.Boolean}


def _existed(arena: dict[str, Any], before: Position) -> bool:
    created, destroyed = arena["create_ts_ns"], arena["destroy_ts_ns"]
    return (
        arena["max_entries"] is not None
        and (created is None or created <= before[0])
        and (destroyed is None or destroyed >= before[0] or before == END)
    )


def _events_before(events: pl.LazyFrame, arena: int, before: Position) -> pl.LazyFrame:
    return events.filter((pl.col("arena") == arena) & is_before(before)).with_row_index("order")


def _last_operations(
    events: pl.LazyFrame, pages: pl.DataFrame, arena: int, ends: tuple[Op, ...]
) -> pl.DataFrame:
    """Return the last operations on each page.

    ``last``: code of the last operation that determined whether the page is mapped.
    ``last_fill``: code of the last operation that installed or removed a scratch page.
    ``since_ns``: time of the last operation.
    ``is_ambiguous``: every free after the scratch install was called before it; the drain may
    have come before the install.
    """
    keys = pages.select(pl.lit(arena, pl.UInt32).alias("arena"), "page")
    within = pl.col("pgoff") < len(pages)
    done = _with_drains(
        operations(events, also=("order",)).filter(
            pl.col("op").is_in([int(op) for op in (*STATE_OPS, Op.QUEUE)])
        ),
        events,
    )
    order = pl.col("order").cast(pl.Int64)
    installs = events.filter(
        (pl.col("kind") == int(Kind.KERNEL_FAULT))
        & (pl.col("outcome") == int(Outcome.SCRATCH_INSTALLED))
        & within
    ).select(
        page="pgoff", order=order, called=order, ts_ns="ts_ns", op=pl.lit(int(Op.INSTALL), pl.UInt8)
    )
    columns = ("page", "order", "called", "ts_ns", "op")
    rows = pl.concat(
        [
            done.filter((pl.col("pages") == 1) & within).select(
                pl.col("pgoff").alias("page"), *columns[1:]
            ),
            explode_pages(done.filter(pl.col("pages") > 1), keys).select(columns),
            installs.select(columns),
        ]
    )
    code = pl.col("order") * _CODES + pl.col("op").cast(pl.Int64)
    is_state = pl.col("op") != int(Op.INSTALL)
    fills = pl.col("op").is_in([int(op) for op in (*ends, Op.INSTALL)])
    freed = pl.col("op") == int(Op.FREE)
    live = pl.col("op").is_in([int(op) for op in LIVE_OPS])
    return (
        rows.group_by("page")
        .agg(
            last=code.filter(is_state).max() % _CODES,
            last_fill=code.filter(fills).max() % _CODES,
            since_ns=pl.col("ts_ns").max(),
            install=pl.col("order").filter(~is_state).max(),
            called=pl.col("called").filter(freed & fills).max(),
            mapped=pl.col("order").filter(live).max(),
        )
        .with_columns(
            is_ambiguous=(pl.col("called") < pl.col("install"))
            & ~(pl.col("mapped") > pl.col("install")).fill_null(value=False)
        )
        .collect(engine="streaming")
    )


def _with_drains(done: pl.LazyFrame, events: pl.LazyFrame) -> pl.LazyFrame:
    """Replace each queued free by a free at the next drain; drop it if there was no drain.

    ``order`` is the order of the drain, ``called`` that of the call.
    """
    drains = (
        events.filter(pl.col("kind") == int(Kind.FREE_DRAIN))
        .select(pl.col("order").alias("drain"), pl.col("ts_ns").alias("drain_ts_ns"))
        .collect(engine="streaming")
    )
    queued = pl.col("op") == int(Op.QUEUE)
    order = pl.col("order").cast(pl.Int64)
    return (
        done.join_asof(
            drains.lazy(),
            left_on="order",
            right_on="drain",
            strategy="forward",
            check_sortedness=False,
        )
        .filter(~queued | pl.col("drain").is_not_null())
        .with_columns(
            called=order,
            order=pl.when(queued).then(pl.col("drain").cast(pl.Int64)).otherwise(order),
            ts_ns=pl.when(queued).then("drain_ts_ns").otherwise("ts_ns"),
            op=pl.when(queued).then(int(Op.FREE)).otherwise("op").cast(pl.UInt8),
        )
        .drop("drain", "drain_ts_ns")
    )


def _state(untouched: str) -> pl.Expr:
    return (
        pl.when(pl.col("last_fill") == int(Op.INSTALL))
        .then(pl.lit("scratched"))
        .when((pl.col("last_fill") == int(Op.FREE)) & pl.col("is_ambiguous"))
        .then(pl.lit("unknown"))
        .when(pl.col("last").is_in([int(op) for op in LIVE_OPS]))
        .then(pl.lit("allocated"))
        .when(pl.col("last") == int(Op.RESERVE))
        .then(pl.lit("reserved"))
        .when(pl.col("last") == int(Op.FREE))
        .then(pl.lit("free"))
        .otherwise(pl.lit(untouched))
    )


def _sure(states: pl.DataFrame, coverage: Coverage, ts_ns: int) -> pl.Series:
    until = pl.repeat(ts_ns, len(states), dtype=pl.Int64, eager=True)
    has_gap = coverage.has_gap(states["since_ns"], until)
    return ~has_gap & (coverage.no_history is None) & (states["state"] != "unknown")


def _ranges(pages: pl.DataFrame) -> pl.DataFrame:
    """Merge consecutive pages of one state into ranges."""
    return (
        pages.with_columns(run=pl.struct("state", "sure").rle_id())
        .group_by("run", maintain_order=True)
        .agg(
            first=pl.col("page").first(),
            pages=pl.len().cast(pl.UInt32),
            state=pl.col("state").first(),
            sure=pl.col("sure").first(),
        )
        .drop("run")
    )
