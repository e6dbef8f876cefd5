"""Live allocations near the page that faulted."""

from __future__ import annotations

import polars as pl

from arenatrace.analysis.pages.operations import LIVE_OPS, STATE_OPS, Op
from arenatrace.schema import BAND_SZ, GUARD_SZ, PAGE_SIZE

#: Pages searched on either side: the reach of the 16-bit displacement of a BPF load or store
#: (``GUARD_SZ / 2`` of kernel/bpf/arena.c).
NEAR_PAGES = GUARD_SZ // 2 // PAGE_SIZE

#: Pages of the arena band; the page before page 0 has the last number.
_BAND_PAGES = BAND_SZ // PAGE_SIZE

#: Members of ``below`` and ``above``.
_NEIGHBOUR = ("distance", "first", "last", *("ts_ns", "pid", "tid", "comm"))


def near_targets(faults: pl.DataFrame, arenas: pl.DataFrame) -> pl.DataFrame:
    """Return the pages within ``NEAR_PAGES`` of each fault that lie in its arena's user range.

    One row per fault and page, with ``near`` (the page) and ``position`` (the faulting page,
    negative just before page 0). Faults in an arena of unknown size have none.

    Args:
        faults: rows with ``fault``, ``ts_ns``, ``seq``, ``arena``, ``page`` and ``offset``.
        arenas: the table ``arenas``.
    """
    around = [step for step in range(-NEAR_PAGES, NEAR_PAGES + 1) if step]
    wraps = (pl.col("page") >= pl.col("max_entries")) & (pl.col("page") >= _BAND_PAGES - NEAR_PAGES)
    page = pl.col("page").cast(pl.Int64)
    near = pl.col("near")
    return (
        faults.select("fault", "ts_ns", "seq", "arena", "page", "offset")
        .join(arenas.select("arena", "max_entries"), on="arena")
        .filter(pl.col("page").is_not_null() & pl.col("max_entries").is_not_null())
        .with_columns(position=pl.when(wraps).then(page - _BAND_PAGES).otherwise(page))
        .with_columns(near=pl.lit(around, pl.List(pl.Int64)))
        .explode("near")
        .with_columns(near=near + pl.col("position"))
        .filter((near >= 0) & (near < pl.col("max_entries")))
        .with_columns(near=near.cast(pl.UInt32))
        .drop("max_entries", "page")
    )


def near_allocations(targets: pl.DataFrame, operations: pl.DataFrame) -> pl.DataFrame:
    """Return the nearest live page on either side of each fault, one row per fault with any.

    ``below`` and ``above`` are structs, null if no page within ``NEAR_PAGES`` on that side was
    live. Their members are ``distance`` in bytes (``below``: from the end of the live page, 0 for
    the first byte past it; ``above``: to the start of the live page, 1 for the last byte before
    it), ``first`` and ``last`` page of the allocation, and its time and task.

    Args:
        targets: rows of ``near_targets``.
        operations: rows of ``page_operations`` or ``NeighbourStates.operations``.
    """
    live = _live(targets, operations)
    address = pl.col("position") * PAGE_SIZE + pl.col("offset").cast(pl.Int64)
    start = pl.col("near").cast(pl.Int64) * PAGE_SIZE
    below = pl.col("near").cast(pl.Int64) < pl.col("position")
    sided = live.with_columns(
        below=below,
        distance=pl.when(below).then(address - start - PAGE_SIZE).otherwise(start - address),
        first=pl.min_horizontal("pgoff", "near"),
        last=(pl.col("pgoff").cast(pl.Int64) + pl.col("pages") - 1).cast(pl.UInt32, strict=False),
    ).sort("fault", "distance")
    nearest = sided.group_by("fault", "below", maintain_order=True).first()
    sides = [
        nearest.filter(pl.col("below") == is_below).select(
            "fault", pl.struct(_NEIGHBOUR).alias(name)
        )
        for name, is_below in (("below", True), ("above", False))
    ]
    return sides[0].join(sides[1], on="fault", how="full", coalesce=True).sort("fault")


def _live(targets: pl.DataFrame, operations: pl.DataFrame) -> pl.DataFrame:
    """Return the targets that were mapped at the fault, with the operation that mapped them."""
    page = ["arena", "near"]
    states = operations.filter(pl.col("op").is_in([int(op) for op in STATE_OPS])).select(
        "ts_ns",
        "seq",
        "arena",
        pl.col("page").alias("near"),
        "op",
        mapping=pl.struct("pgoff", "pages", "ts_ns", "pid", "tid", "comm"),
    )
    rows = pl.concat([states, targets], how="diagonal").sort(
        *page, "ts_ns", "seq", maintain_order=True
    )
    live = [int(op) for op in LIVE_OPS]
    was_mapped = pl.col("op").forward_fill().shift(1).over(page).is_in(live).fill_null(value=False)
    return (
        # A user fault on a mapped page maps nothing: the page belongs to the earlier mapping.
        rows.with_columns(
            maps=(pl.col("op") == int(Op.ALLOC))
            | ((pl.col("op") == int(Op.USER_MAP)) & ~was_mapped)
        )
        .with_columns(
            op=pl.col("op").forward_fill().over(page),
            mapping=pl.when("maps").then("mapping").forward_fill().over(page),
        )
        .filter(pl.col("fault").is_not_null() & pl.col("op").is_in(live))
        .drop("ts_ns")
        .unnest("mapping")
    )
