"""Fault counts by program, arena, cause and signature."""

from __future__ import annotations

import polars as pl

#: Conditions that are counted in each group of faults.
COUNTS = {
    "scratch_installs": pl.col("outcome") == "scratch-installed",
    "prog_faults": pl.col("side") == "prog",
    "oopses": pl.col("outcome") == "oops",
}


def fault_counts(faults: pl.LazyFrame, key: str) -> pl.LazyFrame:
    """Return one row per value of the column ``key``: ``faults`` and the members of ``COUNTS``."""
    sums = {name: condition.fill_null(value=False).sum() for name, condition in COUNTS.items()}
    return faults.filter(pl.col(key).is_not_null()).group_by(key).agg(faults=pl.len(), **sums)


def causes(faults: pl.LazyFrame) -> pl.LazyFrame:
    """Return one row per program index (null: unknown) and cause, most frequent first."""
    return (
        faults.group_by("prog_index", "cause")
        .agg(count=pl.len())
        .sort("count", "cause", descending=[True, False])
    )


#: Columns of ``signatures``.
_SIGNATURE = (
    *("signature", "title", "cause", "first_fault", "count", "oopses"),
    *("first_ts_ns", "last_ts_ns"),
)


def signatures(faults: pl.LazyFrame) -> pl.LazyFrame:
    """Return one row per signature, most frequent first, with times in ns.

    ``title`` is that of the first fault, whose number is ``first_fault``. Faults of one signature
    have one cause.
    """
    return by_frequency(
        faults.sort("fault")
        .group_by("signature", maintain_order=True)
        .agg(
            title=pl.col("title").first(),
            cause=pl.col("cause").first(),
            first_fault=pl.col("fault").first(),
            count=pl.len(),
            oopses=COUNTS["oopses"].fill_null(value=False).sum(),
            first_ts_ns=pl.col("ts_ns").min(),
            last_ts_ns=pl.col("ts_ns").max(),
        )
    )


def by_frequency(groups: pl.LazyFrame) -> pl.LazyFrame:
    """Sort ``groups``, one row per signature, and select the columns of ``signatures``."""
    return groups.sort(
        "count", "first_ts_ns", descending=[True, False], maintain_order=True
    ).select(_SIGNATURE)
