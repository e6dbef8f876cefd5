"""Position of an address in its arena: page, offset and band."""

from __future__ import annotations

import polars as pl

from arenatrace.schema import BAND_SZ, GUARD_SZ, PAGE_SIZE

_LOW32 = BAND_SZ - 1
_HALF_GUARD = GUARD_SZ // 2


def _u64(value: int) -> pl.Expr:
    return pl.lit(value, pl.UInt64)


def with_addresses(faults: pl.LazyFrame, arenas: pl.LazyFrame) -> pl.LazyFrame:
    """Add ``kaddr``, ``uaddr``, ``page``, ``offset`` and ``band`` to ``faults``.

    ``uaddr`` is the address as ``__bpf_prog_report_arena_violation`` prints it:
    clear_lo32(user_vm_start) plus the offset from kern_vm_start, modulo 2^64. ``page`` is its
    ``compute_pgoff``, null in the guards. ``offset`` is the byte offset in the page. ``band`` is
    ``user-range``, ``kernel-band``, ``upper-guard`` or ``lower-guard``; null for an unknown arena
    or an address outside its vm area.

    Args:
        faults: rows with ``arena`` (index) and ``addr`` (kernel address).
        arenas: the table ``arenas``.
    """
    areas = arenas.select("arena", "kern_vm_start", "user_vm_start", "max_entries")
    kaddr = pl.col("addr")
    user = pl.col("user_vm_start")
    # u64 subtraction wraps in polars as it does in C: below kern_vm_start this is huge.
    distance = kaddr - pl.col("kern_vm_start")
    page = (((distance & _u64(_LOW32)) - user) & _u64(_LOW32)) // _u64(PAGE_SIZE)
    in_band = distance < _u64(BAND_SZ)
    upper = ~in_band & (distance < _u64(BAND_SZ + _HALF_GUARD))
    lower = distance >= _u64((1 << 64) - _HALF_GUARD)
    return (
        faults.join(areas, on="arena", how="left")
        .with_columns(
            kaddr=kaddr,
            offset=(kaddr & _u64(PAGE_SIZE - 1)).cast(pl.UInt16),
            uaddr=pl.when(in_band | upper | lower).then(
                (user & _u64((1 << 64) - BAND_SZ)) + distance
            ),
            page=pl.when(in_band).then(page).cast(pl.UInt32),
        )
        .with_columns(
            band=pl.when(in_band & (pl.col("page") < pl.col("max_entries")))
            .then(pl.lit("user-range"))
            .when(in_band & (pl.col("page") >= pl.col("max_entries")))
            .then(pl.lit("kernel-band"))
            .when(upper)
            .then(pl.lit("upper-guard"))
            .when(lower)
            .then(pl.lit("lower-guard"))
        )
        .drop("kern_vm_start", "user_vm_start", "max_entries")
    )
