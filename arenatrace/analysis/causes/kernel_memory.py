"""Which faults are about pages in which the kernel itself keeps something?"""

from __future__ import annotations

import polars as pl

_EVIDENCE = (
    "kernel-owned (sched_ext): sched_ext had taken memory in this page for itself, it was no "
    "program's to free"
)


def with_kernel_memory(faults: pl.LazyFrame, taken: pl.LazyFrame) -> pl.LazyFrame:
    """``faults``, with ``arena`` and ``page``, with ``kernel_evidence`` added, a list of sentences.

    ``taken`` are the kernel_alloc events (scx_arena_alloc()): ``arena``, ``ts_ns``, ``pgoff`` and
    ``pages`` that each piece touches. What was given back stays the kernel's: sched_ext keeps
    its pages until the arena goes.
    """
    places = (
        taken.filter(pl.col("pgoff").is_not_null() & (pl.col("pages") > 0))
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
    owned = pl.col("kernel_since") <= pl.col("ts_ns")
    return (
        faults.join(places, on=["arena", "page"], how="left", maintain_order="left")
        .with_columns(
            kernel_evidence=pl.concat_list(pl.when(owned).then(pl.lit(_EVIDENCE))).list.drop_nulls()
        )
        .drop("kernel_since")
    )
