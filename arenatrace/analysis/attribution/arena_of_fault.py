"""Arena of a fault by its address, for faults recorded without one."""

from __future__ import annotations

import polars as pl

from arenatrace.schema import BAND_SZ, GUARD_SZ


def with_arena(faults: pl.LazyFrame, arenas: pl.LazyFrame) -> pl.LazyFrame:
    """Fill a null ``arena`` of ``faults`` by address.

    An oops whose program has no arena is recorded without one. Its address can still lie in the
    vm area of an arena that existed at that time: 4 GiB and 32 KiB of guard on either side, as
    ``arena_map_alloc`` lays it out.

    Args:
        faults: rows with ``fault``, ``ts_ns``, ``addr`` and ``arena``.
        arenas: the table ``arenas``.
    """
    half_guard = pl.lit(GUARD_SZ // 2, pl.UInt64)
    areas = arenas.filter(pl.col("kern_vm_start") > half_guard).select(
        pl.col("arena").alias("found"),
        (pl.col("kern_vm_start") - half_guard).alias("area_start"),
        (pl.col("kern_vm_start") + pl.lit(BAND_SZ, pl.UInt64) + half_guard).alias("area_end"),
        "create_ts_ns",
        "destroy_ts_ns",
    )
    existed = (pl.col("create_ts_ns").is_null() | (pl.col("create_ts_ns") <= pl.col("ts_ns"))) & (
        pl.col("destroy_ts_ns").is_null() | (pl.col("ts_ns") <= pl.col("destroy_ts_ns"))
    )
    found = (
        faults.filter(pl.col("arena").is_null() & pl.col("addr").is_not_null())
        .select("fault", "ts_ns", "addr")
        .join_where(
            areas, pl.col("addr") >= pl.col("area_start"), pl.col("addr") < pl.col("area_end")
        )
        .filter(existed)
        # vmalloc reuses areas: of several matches the latest created one is right.
        .sort("fault", "create_ts_ns", nulls_last=False, maintain_order=True)
        .group_by("fault", maintain_order=True)
        .agg(pl.col("found").last())
    )
    return (
        faults.join(found, on="fault", how="left")
        .with_columns(pl.coalesce("arena", "found").alias("arena"))
        .drop("found")
    )
