"""How are the faults spread over programs, arenas, causes and signatures?"""

from __future__ import annotations

import polars as pl

#: What is counted about every group of faults.
COUNTS = {
    "scratch_installs": pl.col("outcome") == "scratch-installed",
    "prog_faults": pl.col("side") == "prog",
    "oopses": pl.col("outcome") == "oops",
}


def fault_counts(faults: pl.LazyFrame, key: str) -> pl.LazyFrame:
    """One row per value of the column ``key``: ``faults`` and the members of ``COUNTS``."""
    sums = {name: condition.fill_null(value=False).sum() for name, condition in COUNTS.items()}
    return faults.filter(pl.col(key).is_not_null()).group_by(key).agg(faults=pl.len(), **sums)


def causes(faults: pl.LazyFrame) -> pl.LazyFrame:
    """One row per program index (null: unknown) and cause: ``count``, most frequent first."""
    return (
        faults.group_by("prog_index", "cause")
        .agg(count=pl.len())
        .sort("count", "cause", descending=[True, False])
    )


def signatures(faults: pl.LazyFrame) -> pl.LazyFrame:
    """One row per signature, most frequent first: title, cause, count, first and last time in ns.

    The title is that of the first fault; faults of one signature have one cause.
    ``first_fault`` is the number of the first.
    """
    return (
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
        .sort("count", "first_ts_ns", descending=[True, False], maintain_order=True)
    )


def programs(faults: pl.LazyFrame, programs: pl.LazyFrame) -> pl.LazyFrame:
    """The programs that use an arena or faulted, most faults first, with their counts.

    The recorder's own programs are left out unless one of them is blamed.
    """
    counted = fault_counts(faults, "prog_index").rename({"prog_index": "prog"})
    relevant = pl.col("faults").is_not_null() | (
        pl.col("arena").is_not_null() & ~pl.col("own").fill_null(value=False)
    )
    return (
        programs.select("prog", "id", "name", "tag", "type", "arena", "own")
        .join(counted, on="prog", how="left")
        .filter(relevant)
        .with_columns(pl.col("faults", *COUNTS).fill_null(0))
        .sort("faults", "prog", descending=[True, False])
        .select("prog", "id", "name", "tag", "type", "arena", "faults", *COUNTS)
    )
