"""What an imported text says of a fault that has no kernel address."""

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


def with_told_addresses(faults: pl.LazyFrame, arenas: pl.LazyFrame) -> pl.LazyFrame:
    """``faults`` with gaps in ``uaddr``, ``page``, ``offset`` and ``band`` filled from ``told``.

    ``told`` is the user address as the kernel's report printed it. The page of the arena
    follows where user_vm_start is known, the band where the arena's size is known as well.
    Bytes into the page are those of a program-side fault: the kernel rounds the address of a
    kernel-side one down before it reports it (``bpf_arena_handle_page_fault``). ``told`` goes.
    """
    places = arenas.select("arena", "user_vm_start", "max_entries")
    told, user = pl.col("told"), pl.col("user_vm_start")
    base = user & _u64((1 << 64) - BAND_SZ)
    in_band = (told - base) < _u64(BAND_SZ)
    page = ((told - user) & _u64(BAND_SZ - 1)) // _u64(PAGE_SIZE)
    exact = told.is_not_null() & (pl.col("kind") == int(Kind.PROG_FAULT))
    in_range = pl.col("page") < pl.col("max_entries")
    return (
        faults.join(places, on="arena", how="left")
        .with_columns(
            uaddr=pl.coalesce("uaddr", told),
            page=pl.coalesce("page", pl.when(in_band).then(page).cast(pl.UInt32)),
            offset=pl.coalesce(
                "offset", pl.when(exact).then(told & _u64(PAGE_SIZE - 1)).cast(pl.UInt16)
            ),
        )
        .with_columns(
            band=pl.coalesce(
                "band",
                pl.when(told.is_not_null() & in_range).then(pl.lit("user-range")),
                pl.when(told.is_not_null() & ~in_range).then(pl.lit("kernel-band")),
            )
        )
        .drop("told", "user_vm_start", "max_entries")
    )


def known_time(column: str) -> pl.Expr:
    """A time in ns, null where the source told only the order of events."""
    return pl.when(pl.col(column) >= 0).then(pl.col(column))


def real_code(column: str) -> pl.Expr:
    """A code address, null where an importer made it up for a symbol and offset."""
    made_up = pl.col(column).is_between(
        _u64(SYNTHETIC_CODE_START), _u64(SYNTHETIC_CODE_END), closed="left"
    )
    return pl.when(~made_up).then(pl.col(column))
