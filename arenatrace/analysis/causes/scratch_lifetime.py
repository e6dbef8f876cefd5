"""How long did the scratch page of a fault stand, and what ended that?"""

from __future__ import annotations

import polars as pl

from arenatrace.analysis.pages.coverage import Knowledge
from arenatrace.analysis.pages.operations import Op

_NEVER_NS = (1 << 63) - 1


def with_scratch_life(faults: pl.DataFrame, arenas: pl.DataFrame, known: Knowledge) -> pl.DataFrame:
    """``faults`` with ``ended_by`` and ``lifetime_ns`` for those that installed the scratch page.

    ``ended_by`` is ``alloc``, ``free`` (for a deferred one when it was done), ``destroy`` or
    ``open``; null where that is not known: of a trace without allocations or frees, after a
    loss, where the page was found empty again without a recorded reason, and where the free
    that ends it was queued before the fault and may have been done by then. ``lifetime_ns`` is
    null while it is open. ``faults`` has ``reason``, and ``end`` and ``vanished`` of
    ``page_history``; pages outside the user range, which no allocation and no free reaches,
    have neither of these.
    """
    installed = (pl.col("outcome") == "scratch-installed").fill_null(value=False)
    taken = pl.col("end").struct.field("ts_ns")
    freed = pl.col("end").struct.field("op") == int(Op.FREE)
    gone = pl.col("destroy_ts_ns")
    # A destroyed arena's index is never used again; a time before the fault is damage.
    gone = pl.when(gone >= pl.col("ts_ns")).then(gone)
    ended = pl.coalesce(taken, gone)
    # The worker that took the page away had started before: the next one will not do it again.
    drained = pl.col("end").struct.field("drained")
    done_before = ((pl.col("reason") == "free-queued") & freed & drained).fill_null(value=False)
    rows = faults.join(arenas.select("arena", "destroy_ts_ns"), on="arena", how="left")
    until = rows.select(ended.fill_null(_NEVER_NS).alias("until"))["until"]
    within = pl.col("band") == "user-range"
    lost = pl.Series(known.gaps_since(rows["ts_ns"], until))
    return (
        rows.with_columns(
            ended_by=pl.when(
                ~installed
                | pl.col("vanished").fill_null(value=False)
                | pl.lit(known.blind is not None)
                | done_before
                | pl.lit(lost) & (within.fill_null(value=False) | gone.is_null())
            )
            .then(None)
            .when(freed)
            .then(pl.lit("free"))
            .when(taken.is_not_null())
            .then(pl.lit("alloc"))
            .when(gone.is_not_null())
            .then(pl.lit("destroy"))
            .otherwise(pl.lit("open")),
        )
        .with_columns(
            lifetime_ns=pl.when(pl.col("ended_by").is_not_null()).then(ended - pl.col("ts_ns"))
        )
        .drop("destroy_ts_ns")
    )
