"""Kernel function that touched the arena."""

from __future__ import annotations

import polars as pl

from arenatrace.schema import Kind

#: A symbol with a time up to this long after a fault, in ns, still belongs to it.
_SIMULTANEOUS_NS = 1_000_000_000


def with_callee(faults: pl.LazyFrame, symbols: pl.LazyFrame) -> pl.LazyFrame:
    """Add ``symbol`` and ``module`` of the faulting kernel function to ``faults``.

    The symbol is the latest one resolved for exactly this ip up to the fault, because modules are
    loaded and unloaded. Without one, it is the first one within a second after the fault: if two
    CPUs fault at the same time, only one of them sends the symbol, with the time of its own fault.
    A later symbol may belong to another module at the same address and is not used. Both columns
    are null for a program-side fault, which has no callee.

    Args:
        faults: rows with ``kind``, ``ts_ns`` and ``ip``.
        symbols: the table ``symbols``.
    """
    known = symbols.select(
        pl.col("addr").alias("ip"), "ts_ns", pl.col("name").alias("symbol"), "module"
    ).sort("ts_ns", maintain_order=True)
    kernel_side = pl.col("kind") == int(Kind.KERNEL_FAULT)
    later = known.select("ip", "ts_ns", pl.struct("symbol", "module").alias("later"))
    before = pl.struct("symbol", "module")
    return (
        faults.sort("ts_ns", maintain_order=True)
        .join_asof(known, on="ts_ns", by="ip", check_sortedness=False)
        .join_asof(
            later,
            on="ts_ns",
            by="ip",
            strategy="forward",
            tolerance=_SIMULTANEOUS_NS,
            check_sortedness=False,
        )
        .with_columns(
            pl.when(kernel_side)
            .then(pl.when(pl.col("symbol").is_null()).then("later").otherwise(before))
            .alias("callee")
        )
        .drop("symbol", "module", "later")
        .unnest("callee")
    )
