"""Lifetime of the scratch page that a fault installed, and the operation that ended it."""

from __future__ import annotations

import polars as pl

from arenatrace.analysis.causes.reasons import Reason, reason_is
from arenatrace.analysis.pages.coverage import Coverage
from arenatrace.analysis.pages.operations import Op

_NEVER_NS = (1 << 63) - 1


def with_scratch_lifetime(
    faults: pl.DataFrame, arenas: pl.DataFrame, coverage: Coverage
) -> pl.DataFrame:
    """Add ``ended_by`` and ``lifetime_ns`` to faults that installed the scratch page.

    ``ended_by`` is ``alloc``, ``free`` (a deferred free at its drain), ``destroy`` or ``open``. It
    is null if unknown: in a trace without allocations or frees; after a loss; if another fault
    found the page empty without a recorded reason; and if the free that ends it was queued before
    the fault, because its drain may have come first. ``lifetime_ns`` is null while ``open``.

    Args:
        faults: rows with ``reason`` of ``with_cause``, and ``end`` and ``vanished`` of
            ``page_history``. Both are null outside the user range, where no allocation or free
            reaches.
        arenas: the table ``arenas``.
        coverage: the coverage of the trace.
    """
    is_installed = (pl.col("outcome") == "scratch-installed").fill_null(value=False)
    removed = pl.col("end").struct.field("ts_ns")
    is_free = pl.col("end").struct.field("op") == int(Op.FREE)
    destroyed = pl.col("destroy_ts_ns")
    # The index of a destroyed arena is never reused; a time before the fault is damage.
    destroyed = pl.when(destroyed >= pl.col("ts_ns")).then(destroyed)
    ended = pl.coalesce(removed, destroyed)
    # A fault on a page whose free is queued: the worker was already freeing it. The next drain
    # does not free it again.
    drained = pl.col("end").struct.field("drained")
    may_precede = (reason_is(Reason.FREE_QUEUED) & is_free & drained).fill_null(value=False)
    rows = faults.join(arenas.select("arena", "destroy_ts_ns"), on="arena", how="left")
    until = rows.select(ended.fill_null(_NEVER_NS).alias("until"))["until"]
    in_range = pl.col("band") == "user-range"
    has_gap = pl.Series(coverage.has_gap(rows["ts_ns"], until))
    return (
        rows.with_columns(
            ended_by=pl.when(
                ~is_installed
                | pl.col("vanished").fill_null(value=False)
                | pl.lit(coverage.no_history is not None)
                | may_precede
                | pl.lit(has_gap) & (in_range.fill_null(value=False) | destroyed.is_null())
            )
            .then(None)
            .when(is_free)
            .then(pl.lit("free"))
            .when(removed.is_not_null())
            .then(pl.lit("alloc"))
            .when(destroyed.is_not_null())
            .then(pl.lit("destroy"))
            .otherwise(pl.lit("open")),
        )
        .with_columns(
            lifetime_ns=pl.when(pl.col("ended_by").is_not_null()).then(ended - pl.col("ts_ns"))
        )
        .drop("destroy_ts_ns")
    )
