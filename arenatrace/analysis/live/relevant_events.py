"""Selection of the events that a diagnosis of given faults needs."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from arenatrace.analysis.pages.neighbours import near_targets
from arenatrace.analysis.pages.page_set import PageSet
from arenatrace.schema import Kind

_ORDER = ["ts_ns", "seq"]


def relevant_operations(
    parts: Sequence[pl.DataFrame], faults: pl.DataFrame, arenas: pl.DataFrame
) -> pl.DataFrame:
    """Return the page operations in ``parts`` that ``diagnosed_faults`` needs for ``faults``.

    These may cover pages of ``faults`` or pages near them; drains of deferred frees and refused
    allocations are always included. The result is in (ts_ns, seq) order. Most events are neither
    copied nor sorted.

    Args:
        parts: events, in any number of frames.
        faults: rows of ``placed_faults``.
        arenas: the table ``arenas``.
    """
    targets = near_targets(faults, arenas)
    pages = faults.filter(pl.col("band") == "user-range").select("arena", "page")
    around = targets.select("arena", page="near")
    key = pl.col("arena", "page").cast(pl.UInt32)
    page_set = PageSet(pl.concat([pages.select(key), around.select(key)]))
    is_drain = pl.col("kind") == int(Kind.FREE_DRAIN)
    is_refused = (pl.col("kind") == int(Kind.PAGE_ALLOC)) & (pl.col("ret") == 0)
    wanted = page_set.prefilter(always=(is_drain | is_refused).fill_null(value=False))
    return in_order([pl.concat(parts).filter(wanted)])


def in_order(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Concatenate ``parts`` in (ts_ns, seq) order; rows already in order are not sorted."""
    rows = pl.concat(parts)
    ts, seq = (rows[name].to_numpy() for name in _ORDER)
    later, same_time = ts[1:] > ts[:-1], ts[1:] == ts[:-1]
    if (later | (same_time & (seq[1:] >= seq[:-1]))).all():
        return rows
    return rows.sort(_ORDER)
