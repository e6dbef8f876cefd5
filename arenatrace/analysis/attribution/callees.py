"""Which kernel function touched the arena?"""

from __future__ import annotations

import polars as pl

from arenatrace.schema import Kind

#: How long after a fault, in ns, the symbol of a simultaneous fault may be stamped.
_SAME_INSTANT_NS = 1_000_000_000


def with_callee(faults: pl.LazyFrame, symbols: pl.LazyFrame) -> pl.LazyFrame:
    """``faults`` with ``symbol`` and ``module`` of the faulting kernel function added.

    The symbol is the latest the kernel gave for exactly this ip no later than the fault, as
    module code comes and goes. Where there is none, it is the first within a second after:
    of two CPUs that fault at the same instant only one sends the symbol, stamped with its own
    fault's time, and the other does not repeat it while no module has gone. A symbol later
    than that may be of another module at the same address and is not taken. Both are null
    for a program-side fault, which has no callee. ``faults`` needs ``kind``, ``ts_ns``, ``ip``.
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
            tolerance=_SAME_INSTANT_NS,
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
