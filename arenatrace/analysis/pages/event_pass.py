"""One pass over the events for the pages that faulted and the pages near them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from arenatrace.analysis.pages.arrays import Ints
from arenatrace.analysis.pages.neighbour_states import NeighbourStates
from arenatrace.analysis.pages.operations import as_effective, batches, operations
from arenatrace.analysis.pages.page_set import PageSet
from arenatrace.analysis.pages.prefetch import prefetch
from arenatrace.schema import Kind


class _DisorderError(Exception):
    """The events are not in (ts_ns, seq) order."""


def page_pass(
    events: pl.LazyFrame, pages: pl.DataFrame, targets: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return ``page_operations`` of ``pages``, and the operations that ``near_allocations`` needs.

    All operations on ``pages`` are in the result. Of the pages of ``targets`` it has only the
    operations that determine their states at the time of the faults.

    Args:
        events: the table ``events``.
        pages: pairs of ``arena`` and ``page``.
        targets: rows of ``near_targets``.
    """
    try:
        return _pass(events, pages, targets)
    except _DisorderError:
        return _pass(events.sort("ts_ns", "seq", maintain_order=True), pages, targets)


def _pass(
    events: pl.LazyFrame, pages: pl.DataFrame, targets: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    key = [pl.col("arena", "page").cast(pl.UInt32)]
    pages = pages.select(key).drop_nulls().unique()
    around = targets.select("arena", page="near").select(key)
    page_set = PageSet(pl.concat([pages, around]))
    wanted = np.zeros(len(page_set), np.bool_)
    wanted[page_set.index(pages)] = True
    near = NeighbourStates(targets, page_set)
    found = []
    for rows, row, page, drains in prefetch(_covering(events, page_set)):
        near.add(rows, row, page, drains)
        row, page = row[wanted[page]], page[wanted[page]]
        found.append(rows[row].drop("order").with_columns(page=pl.Series(page_set.pages[page])))
    return as_effective(found, events), near.operations()


def _covering(
    events: pl.LazyFrame, page_set: PageSet
) -> Iterator[tuple[pl.DataFrame, Ints, Ints, pl.DataFrame]]:
    """Yield operations, their ``PageSet.explode``, and drains. Raises _DisorderError."""
    last = None
    for batch in batches(events, page_set):
        last = _check_order(batch, last)
        rows = operations(batch.lazy(), also=("order",)).collect()
        drains = batch.filter(pl.col("kind") == int(Kind.FREE_DRAIN))
        yield rows, *page_set.explode(rows), drains


def _check_order(batch: pl.DataFrame, last: tuple[int, int] | None) -> tuple[int, int]:
    """Return the position of the last row. Raises _DisorderError if a row is out of order."""
    ts, seq = (batch[name].to_numpy() for name in ("ts_ns", "seq"))
    if last is not None and (ts[0], seq[0]) < last:
        raise _DisorderError
    later, same_time = ts[1:] > ts[:-1], ts[1:] == ts[:-1]
    if not (later | (same_time & (seq[1:] >= seq[:-1]))).all():
        raise _DisorderError
    return int(ts[-1]), int(seq[-1])
