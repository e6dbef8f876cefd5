"""How long did the scratch page of a fault stand, and what ended that?"""

from __future__ import annotations

import polars as pl

from arenatrace.analysis.page_operations import Op


def with_scratch_life(faults: pl.DataFrame, arenas: pl.DataFrame, *, blind: bool) -> pl.DataFrame:
    """``faults`` with ``ended_by`` and ``lifetime_ns`` for those that installed the scratch page.

    ``ended_by`` is ``alloc``, ``free`` (for a deferred one when it was done), ``destroy`` or
    ``open``; null where the page was found empty again without a recorded reason.
    ``lifetime_ns`` is null while it is open. ``faults`` has ``end`` and ``vanished`` of
    ``page_history``; pages outside the user range, which no allocation and no free reaches,
    have neither. Of a ``blind`` trace, which has no allocations or frees, nothing is known.
    """
    installed = (pl.col("outcome") == "scratch-installed").fill_null(value=False)
    taken = pl.col("end").struct.field("ts_ns")
    freed = pl.col("end").struct.field("op") == int(Op.FREE)
    gone = pl.col("destroy_ts_ns")
    # A destroyed arena's index is never used again; a time before the fault is damage.
    gone = pl.when(gone >= pl.col("ts_ns")).then(gone)
    ended = pl.coalesce(taken, gone)
    return (
        faults.join(arenas.select("arena", "destroy_ts_ns"), on="arena", how="left")
        .with_columns(
            ended_by=pl.when(~installed | pl.col("vanished").fill_null(value=False) | pl.lit(blind))
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
