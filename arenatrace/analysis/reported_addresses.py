"""Addresses and times of imported faults, as the kernel reported them."""

from __future__ import annotations

import polars as pl

from arenatrace.schema import (
    BAND_SZ,
    PAGE_SIZE,
    SYNTHETIC_CODE_END,
    SYNTHETIC_CODE_START,
    Kind,
)


def _u64(value: int) -> pl.Expr:
    return pl.lit(value, pl.UInt64)


def with_reported_addresses(faults: pl.LazyFrame, arenas: pl.LazyFrame) -> pl.LazyFrame:
    """Fill nulls in ``uaddr``, ``page``, ``offset`` and ``band`` from ``reported``, and drop it.

    ``reported`` is the user address in the kernel's report. The page follows if user_vm_start is
    known, the band if the size of the arena is known too. ``offset`` is filled only for a
    program-side fault: the kernel rounds the address of a kernel-side fault down to its page
    before it reports it (``bpf_arena_handle_page_fault``).
    """
    ranges = arenas.select("arena", "user_vm_start", "max_entries")
    reported, user = pl.col("reported"), pl.col("user_vm_start")
    base = user & _u64((1 << 64) - BAND_SZ)
    in_band = (reported - base) < _u64(BAND_SZ)
    page = ((reported - user) & _u64(BAND_SZ - 1)) // _u64(PAGE_SIZE)
    is_exact = reported.is_not_null() & (pl.col("kind") == int(Kind.PROG_FAULT))
    in_range = pl.col("page") < pl.col("max_entries")
    return (
        faults.join(ranges, on="arena", how="left")
        .with_columns(
            uaddr=pl.coalesce("uaddr", reported),
            page=pl.coalesce("page", pl.when(in_band).then(page).cast(pl.UInt32)),
            offset=pl.coalesce(
                "offset", pl.when(is_exact).then(reported & _u64(PAGE_SIZE - 1)).cast(pl.UInt16)
            ),
        )
        .with_columns(
            band=pl.coalesce(
                "band",
                pl.when(reported.is_not_null() & in_range).then(pl.lit("user-range")),
                pl.when(reported.is_not_null() & ~in_range).then(pl.lit("kernel-band")),
            )
        )
        .drop("reported", "user_vm_start", "max_entries")
    )


def known_time(column: str) -> pl.Expr:
    """Return a time in ns; null where the source states only the order of events."""
    return pl.when(pl.col(column) >= 0).then(pl.col(column))


def real_code(column: str) -> pl.Expr:
    """Return a code address; null where an importer made it up for a symbol and offset."""
    is_synthetic = pl.col(column).is_between(
        _u64(SYNTHETIC_CODE_START), _u64(SYNTHETIC_CODE_END), closed="left"
    )
    return pl.when(~is_synthetic).then(pl.col(column))
