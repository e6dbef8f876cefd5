"""Counts of events in a trace."""

from __future__ import annotations

import polars as pl

from arenatrace.schema import Kind, Outcome
from arenatrace.trace.reader import Trace


def _kind(kind: Kind) -> pl.Expr:
    return pl.col("kind") == int(kind)


def _outcome(outcome: Outcome) -> pl.Expr:
    return (pl.col("outcome") == int(outcome)).fill_null(value=False)


def event_totals(events: pl.LazyFrame) -> pl.LazyFrame:
    """Return one row of event counts.

    ``allocs`` are page_alloc events that returned an address, ``allocs_refused`` those that
    returned 0; ``reserves`` and ``reserves_refused`` likewise by errno. An event without a
    recorded result is in neither. ``events`` excludes marks of losses. ``last_ts_ns`` is the time
    of the last event, null if there is none.
    """
    return events.select(_counts())


def arena_totals(events: pl.LazyFrame) -> pl.LazyFrame:
    """Return ``event_totals`` per arena index, with one row for events without an arena."""
    return events.group_by("arena").agg(_counts())


def sum_of_arenas(totals: pl.DataFrame) -> pl.DataFrame:
    """Return the row of ``event_totals`` from the rows of ``arena_totals``."""
    return totals.drop("arena").select(pl.exclude("last_ts_ns").sum(), pl.col("last_ts_ns").max())


def _counts() -> list[pl.Expr]:
    fault = _kind(Kind.KERNEL_FAULT) | _kind(Kind.PROG_FAULT)
    alloc, reserve = _kind(Kind.PAGE_ALLOC), _kind(Kind.PAGE_RESERVE)
    ret = pl.col("ret")
    conditions = {
        "kernel_faults": _kind(Kind.KERNEL_FAULT),
        "scratch_installs": fault & _outcome(Outcome.SCRATCH_INSTALLED),
        "prog_faults": _kind(Kind.PROG_FAULT),
        "oopses": fault & _outcome(Outcome.OOPS),
        "user_faults": _kind(Kind.USER_FAULT),
        "user_sigsegv": _kind(Kind.USER_FAULT) & _outcome(Outcome.SIGSEGV),
        "allocs": alloc & (ret != 0),
        "allocs_refused": alloc & (ret == 0),
        "frees": _kind(Kind.PAGE_FREE),
        "reserves": reserve & (ret == 0),
        "reserves_refused": reserve & (ret != 0),
    }
    return [
        (~_kind(Kind.LOST)).sum().alias("events"),
        *(condition.sum().alias(name) for name, condition in conditions.items()),
        pl.col("ts_ns").max().alias("last_ts_ns"),
    ]


def lost(trace: Trace) -> int:
    """Return how many events the trace lost at least.

    Some losses are known only from meta.json, some only from marks among the events, because the
    meta.json of a killed recorder is behind. The larger number is right in both cases.
    """
    marked: int = trace.scan("events").select(_lost_marked()).collect(engine="streaming").item()
    return max(marked, sum(trace.lost.values()))


def _lost_marked() -> pl.Expr:
    # ``pages`` of a mark is the number of lost events, at least one.
    each = pl.col("pages").fill_null(1).cast(pl.Int64)
    return pl.when(_kind(Kind.LOST)).then(each).sum()
