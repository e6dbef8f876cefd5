"""Retention of page operations: the last few of each kind on each range of pages."""

from __future__ import annotations

import polars as pl

from arenatrace.schema import Kind

_DRAIN = int(Kind.FREE_DRAIN)
_RANGE = ["arena", "kind", "pgoff", "pages", "sleepable", "failed"]


def last_operations(rows: pl.DataFrame, per_range: int) -> pl.DataFrame:
    """Return the last ``per_range`` operations of a kind on a range, and the drains they need.

    ``rows`` are in (ts_ns, seq) order, and so is the result.
    """
    numbered = rows.with_row_index("index")
    operations = numbered.lazy().filter(pl.col("kind") != _DRAIN)
    # Group indices, not rows: grouping thirty columns of lists takes four times as long.
    retained = (
        operations.select("index", *_RANGE[:-1], failed=pl.col("ret") == 0)
        .group_by(_RANGE)
        .agg(pl.col("index").tail(per_range))
        .select(pl.col("index").explode())
        .collect()["index"]
        .sort()
    )
    drains = numbered.filter(pl.col("kind") == _DRAIN).select("index", "arena", drain="index")
    queued = (
        numbered[retained]
        .lazy()
        .filter(
            (pl.col("kind") == int(Kind.PAGE_FREE)) & ~pl.col("sleepable").fill_null(value=True)
        )
        .select("index", "arena")
        .collect()
    )
    needed = (
        queued.join_asof(
            drains, on="index", by="arena", strategy="forward", check_sortedness=False
        )["drain"]
        .drop_nulls()
        .unique()
    )
    return rows[pl.concat([retained, needed]).sort()]
