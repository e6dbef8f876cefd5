"""Of the operations on pages those that the state of a page still depends on."""

from __future__ import annotations

import polars as pl

from arenatrace.schema import Kind

_DRAIN = int(Kind.FREE_DRAIN)
_RANGE = ["arena", "kind", "pgoff", "pages", "sleepable", "failed"]


def last_operations(rows: pl.DataFrame, each: int) -> pl.DataFrame:
    """The last ``each`` operations of a kind on a range of pages, and the drains they need.

    ``rows`` are in order of (ts_ns, seq), and so is the result.
    """
    numbered = rows.with_row_index("place")
    operations = numbered.lazy().filter(pl.col("kind") != _DRAIN)
    # only places are gathered by group: thirty columns of lists take four times as long
    kept = (
        operations.select("place", *_RANGE[:-1], failed=pl.col("ret") == 0)
        .group_by(_RANGE)
        .agg(pl.col("place").tail(each))
        .select(pl.col("place").explode())
        .collect()["place"]
        .sort()
    )
    drains = numbered.filter(pl.col("kind") == _DRAIN).select("place", "arena", drain="place")
    queued = (
        numbered[kept]
        .lazy()
        .filter(
            (pl.col("kind") == int(Kind.PAGE_FREE)) & ~pl.col("sleepable").fill_null(value=True)
        )
        .select("place", "arena")
        .collect()
    )
    needed = (
        queued.join_asof(
            drains, on="place", by="arena", strategy="forward", check_sortedness=False
        )["drain"]
        .drop_nulls()
        .unique()
    )
    return rows[pl.concat([kept, needed]).sort()]
