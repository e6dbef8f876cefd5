"""What happened to the pages that faulted and to those near them, in one pass over the events."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from arenatrace.analysis.pages.arrays import Ints
from arenatrace.analysis.pages.neighbour_states import NearStates
from arenatrace.analysis.pages.operations import as_effective, batches, operations
from arenatrace.analysis.pages.page_set import Places
from arenatrace.analysis.pages.prefetch import ahead
from arenatrace.schema import Kind


class _DisorderError(Exception):
    """The events are not in the order of time."""


def page_pass(
    events: pl.LazyFrame, pages: pl.DataFrame, targets: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """``page_operations`` of ``pages``, and the operations that ``near_allocations`` needs.

    ``pages`` has ``arena`` and ``page``, ``targets`` is what ``near_targets`` gave. All that
    happened to ``pages`` is held; of the pages of ``targets`` only what decides their state at
    the time of the faults.
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
    places = Places(pl.concat([pages, around]))
    wanted = np.zeros(len(places), np.bool_)
    wanted[places.index(pages)] = True
    near = NearStates(targets, places)
    found = []
    for rows, row, page, drains in ahead(_covering(events, places)):
        near.add(rows, row, page, drains)
        row, page = row[wanted[page]], page[wanted[page]]
        found.append(rows[row].drop("order").with_columns(page=pl.Series(places.pages[page])))
    return as_effective(found, events), near.operations()


def _covering(
    events: pl.LazyFrame, places: Places
) -> Iterator[tuple[pl.DataFrame, Ints, Ints, pl.DataFrame]]:
    """Operations, what ``Places.spread`` gives of them, and drains; _DisorderError."""
    last = None
    for batch in batches(events, places):
        last = _check_order(batch, last)
        rows = operations(batch.lazy(), also=("order",)).collect()
        drains = batch.filter(pl.col("kind") == int(Kind.FREE_DRAIN))
        yield rows, *places.spread(rows), drains


def _check_order(batch: pl.DataFrame, last: tuple[int, int] | None) -> tuple[int, int]:
    """The time of the last row; _DisorderError if any row comes after a later one."""
    ts, seq = (batch[name].to_numpy() for name in ("ts_ns", "seq"))
    if last is not None and (ts[0], seq[0]) < last:
        raise _DisorderError
    later, same = ts[1:] > ts[:-1], ts[1:] == ts[:-1]
    if not (later | (same & (seq[1:] >= seq[:-1]))).all():
        raise _DisorderError
    return int(ts[-1]), int(seq[-1])
