"""Summary of a trace: totals, programs, arenas, causes and signatures."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import polars as pl

from arenatrace.analysis import fault_counts
from arenatrace.analysis.faults import faults as fault_rows
from arenatrace.analysis.summary.rows import arena_rows, cause_counts, program_rows
from arenatrace.analysis.totals import arena_totals, lost, sum_of_arenas
from arenatrace.trace.meta import Meta
from arenatrace.trace.reader import Trace

SCHEMA = "arenatrace.summary/1"


def summary(trace: Trace) -> dict[str, Any]:
    """Return the object that ``arenatrace summary --json`` prints, as plain Python values.

    Times are CLOCK_MONOTONIC ns, durations ns, addresses hex strings, other numbers counts.
    Raises polars errors for a damaged table: call it inside ``trace.reading()``.
    """
    return summary_of(trace, fault_rows(trace, evidence=False).collect().lazy())


def summary_of(
    trace: Trace, faults: pl.LazyFrame, events: pl.LazyFrame | None = None
) -> dict[str, Any]:
    """Return ``summary`` from rows of ``faults``.

    Args:
        trace: the trace.
        faults: rows of ``faults``.
        events: the events that count; by default all of them.
    """
    arenas, programs = trace.scan("arenas"), trace.scan("programs")
    events = trace.scan("events") if events is None else events
    # Streamed separately: collected with the other queries, all events would stay in memory.
    activity = arena_totals(events).collect(engine="streaming")
    by_cause, by_signature, others = pl.collect_all(
        [
            fault_counts.causes(faults),
            fault_counts.signatures(faults),
            programs.select((~pl.col("own").fill_null(value=False)).sum()),
        ]
    )
    by_program, by_arena = (
        fault_counts.fault_counts(faults, key) for key in ("prog_index", "arena")
    )
    arena_list = arena_rows(arenas, by_arena, activity.lazy())
    counts = sum_of_arenas(activity).row(0, named=True)
    meta = trace.meta
    return {
        "schema": SCHEMA,
        "trace": {
            "path": str(trace.path),
            "kernel": meta.kernel,
            "arch": meta.arch,
            "profile": meta.profile,
            "level": meta.level,
            "duration_ns": duration_ns(meta, counts.pop("last_ts_ns")),
            "sealed": meta.sealed,
            **({"filters": dict(meta.filters)} if meta.filters else {}),
            **({"imported": [asdict(text) for text in meta.imported]} if meta.imported else {}),
        },
        "totals": {
            **counts,
            "arenas": len(arena_list),
            "programs": others.item(),
            "lost": lost(trace),
        },
        "programs": program_rows(programs, by_program, by_cause),
        "arenas": arena_list,
        "causes": cause_counts(by_cause),
        "signatures": by_signature.to_dicts(),
        "notices": list(trace.warnings),
    }


def duration_ns(meta: Meta, last_ts_ns: int | None) -> int | None:
    """Return the duration of the recording, or up to the last event if the end is unknown, ns."""
    end = last_ts_ns if meta.end_ts_ns is None else meta.end_ts_ns
    # A negative time states only the order of events.
    return None if end is None or end < 0 else max(0, end - meta.start_ts_ns)
