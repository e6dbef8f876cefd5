"""The address space of an arena at one moment, as ranges of pages."""

from __future__ import annotations

from typing import Any

import polars as pl

from arenatrace.analysis.pages.coverage import Knowledge, knowledge
from arenatrace.analysis.pages.history import REPLACED_BY, STICKY
from arenatrace.analysis.pages.operations import LIVE_OPS, STATE_OPS, Op, operations, spread
from arenatrace.analysis.pages.positions import END, Moment, is_before
from arenatrace.schema import Kind, Outcome, ProfileName
from arenatrace.trace.reader import Trace

#: Room for a code of ``Op`` below the order of an event.
_CODES = 16


def address_space(trace: Trace, arena: int, before: Moment) -> pl.DataFrame:
    """Ranges of the user range of ``arena`` just before the event at ``before``, (ts_ns, seq).

    One row per range: ``first`` (page), ``pages``, ``state`` and ``sure``. ``state`` is ``free``,
    ``allocated`` (by a program or by a touch of user space), ``reserved``, ``scratched`` or
    ``unknown``: nothing of the range is in the trace, and the arena is older than the
    recording; or a deferred free of it may have been done before or after it was scratched.
    ``sure`` is false where the state is the last one recorded, and events about pages were
    lost since or are not recorded at all. Empty for an arena whose size is not known or that was
    not there; at ``END`` an arena that was destroyed is as it was last. Works through the events
    in one pass and holds a few numbers per page.
    """
    rows = trace.scan("arenas").filter(pl.col("arena") == arena).collect()
    if rows.is_empty() or not _was_there(rows.row(0, named=True), before):
        return _ranges(pl.DataFrame(schema=_DTYPES))
    facts = rows.row(0, named=True)
    events = trace.scan("events")
    known = knowledge(trace.meta, trace.lost, events)
    old = bool(facts["preexisting"]) or facts["create_ts_ns"] is None
    pages = pl.DataFrame({"page": pl.int_range(facts["max_entries"], dtype=pl.UInt32, eager=True)})
    ends = STICKY if trace.meta.profile == ProfileName.SCRATCH_STICKY else REPLACED_BY
    last = _last_operations(_events_before(events, arena, before), pages, arena, ends)
    states = pages.join(last, on="page", how="left", maintain_order="left").with_columns(
        state=_state("unknown" if old or known.blind is not None else "free"),
        since_ns=pl.coalesce("since_ns", pl.lit(facts["create_ts_ns"], pl.Int64)),
    )
    return _ranges(states.with_columns(sure=_sure(states, known, before[0])).select(list(_DTYPES)))


_DTYPES = {"page": pl.UInt32, "state": pl.String, "sure": pl.Boolean}


def _was_there(arena: dict[str, Any], before: Moment) -> bool:
    created, destroyed = arena["create_ts_ns"], arena["destroy_ts_ns"]
    return (
        arena["max_entries"] is not None
        and (created is None or created <= before[0])
        and (destroyed is None or destroyed >= before[0] or before == END)
    )


def _events_before(events: pl.LazyFrame, arena: int, before: Moment) -> pl.LazyFrame:
    return events.filter((pl.col("arena") == arena) & is_before(before)).with_row_index("order")


def _last_operations(
    events: pl.LazyFrame, pages: pl.DataFrame, arena: int, ends: tuple[Op, ...]
) -> pl.DataFrame:
    """What last happened to each page: ``last``, ``last_fill``, ``since_ns`` and ``taken_early``.

    ``last`` and ``last_fill`` are codes of ``Op``: of what decides whether a page is mapped, and
    of what fills or empties its entry where the scratch page is concerned. ``taken_early``: the
    frees after the scratch page came had all been asked for before.
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
            spread(done.filter(pl.col("pages") > 1), keys).select(columns),
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
            taken_early=(pl.col("called") < pl.col("install"))
            & ~(pl.col("mapped") > pl.col("install")).fill_null(value=False)
        )
        .collect(engine="streaming")
    )


def _with_drains(done: pl.LazyFrame, events: pl.LazyFrame) -> pl.LazyFrame:
    """``done`` with each queued free as a free at the next drain, and gone if there was none.

    ``order`` is when it took effect, ``called`` when it was asked for.
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
        .when((pl.col("last_fill") == int(Op.FREE)) & pl.col("taken_early"))
        .then(pl.lit("unknown"))
        .when(pl.col("last").is_in([int(op) for op in LIVE_OPS]))
        .then(pl.lit("allocated"))
        .when(pl.col("last") == int(Op.RESERVE))
        .then(pl.lit("reserved"))
        .when(pl.col("last") == int(Op.FREE))
        .then(pl.lit("free"))
        .otherwise(pl.lit(untouched))
    )


def _sure(states: pl.DataFrame, known: Knowledge, ts_ns: int) -> pl.Series:
    until = pl.repeat(ts_ns, len(states), dtype=pl.Int64, eager=True)
    lost = known.gaps_since(states["since_ns"], until)
    return ~lost & (known.blind is None) & (states["state"] != "unknown")


def _ranges(pages: pl.DataFrame) -> pl.DataFrame:
    """Runs of pages of one state."""
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
