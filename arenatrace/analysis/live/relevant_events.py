"""The events that diagnosing faults asks for, without those that have nothing to do with them."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from arenatrace.analysis.pages.neighbours import near_targets
from arenatrace.analysis.pages.page_set import Places
from arenatrace.schema import Kind

_ORDER = ["ts_ns", "seq"]


def near_faults(
    parts: Sequence[pl.DataFrame], faults: pl.DataFrame, arenas: pl.DataFrame
) -> pl.DataFrame:
    """What of ``parts``, operations on pages, ``diagnosed_faults`` needs for ``faults``.

    These are operations that may cover pages of ``faults`` or pages near them, drains of
    deferred frees, and allocations that were refused. ``faults`` are rows of ``placed_faults``.
    The order is that of (ts_ns, seq). Most events are never copied, let alone sorted.
    """
    targets = near_targets(faults, arenas)
    pages = faults.filter(pl.col("band") == "user-range").select("arena", "page")
    around = targets.select("arena", page="near")
    key = pl.col("arena", "page").cast(pl.UInt32)
    places = Places(pl.concat([pages.select(key), around.select(key)]))
    drain = pl.col("kind") == int(Kind.FREE_DRAIN)
    refused = (pl.col("kind") == int(Kind.PAGE_ALLOC)) & (pl.col("ret") == 0)
    wanted = places.sieve(always=(drain | refused).fill_null(value=False))
    return in_order([pl.concat(parts).filter(wanted)])


def in_order(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """``parts`` as one, in the order of (ts_ns, seq); what is in order already is not sorted."""
    rows = pl.concat(parts)
    ts, seq = (rows[name].to_numpy() for name in _ORDER)
    later, same = ts[1:] > ts[:-1], ts[1:] == ts[:-1]
    if (later | (same & (seq[1:] >= seq[:-1]))).all():
        return rows
    return rows.sort(_ORDER)
