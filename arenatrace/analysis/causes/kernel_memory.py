"""Faults on pages that sched_ext uses for its own memory."""

from __future__ import annotations

import polars as pl

_EVIDENCE = (
    "kernel-owned (sched_ext): sched_ext had allocated memory in this page for itself; no program "
    "may free it"
)


def with_kernel_memory(faults: pl.LazyFrame, kernel_allocs: pl.LazyFrame) -> pl.LazyFrame:
    """Add ``kernel_evidence``, a list of sentences, to ``faults``.

    Freed memory stays kernel-owned: sched_ext keeps its pages until the arena is destroyed.

    Args:
        faults: rows with ``arena`` and ``page``.
        kernel_allocs: kernel_alloc events (scx_arena_alloc()).
    """
    pages = (
        kernel_allocs.filter(pl.col("pgoff").is_not_null() & (pl.col("pages") > 0))
        .select(
            "arena",
            "ts_ns",
            page=pl.int_ranges(
                pl.col("pgoff").cast(pl.Int64),
                pl.col("pgoff").cast(pl.Int64) + pl.col("pages").cast(pl.Int64),
            ),
        )
        .explode("page")
        .with_columns(pl.col("page").cast(pl.UInt32))
        .group_by("arena", "page")
        .agg(kernel_since=pl.col("ts_ns").min())
    )
    is_owned = pl.col("kernel_since") <= pl.col("ts_ns")
    return (
        faults.join(pages, on=["arena", "page"], how="left", maintain_order="left")
        .with_columns(
            kernel_evidence=pl.concat_list(
                pl.when(is_owned).then(pl.lit(_EVIDENCE))
            ).list.drop_nulls()
        )
        .drop("kernel_since")
    )
