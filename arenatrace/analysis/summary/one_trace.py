"""How bad is it, who did it, and where? The summary of a whole trace."""

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
    """The object ``arenatrace summary --json`` prints, made of plain Python values.

    Times are CLOCK_MONOTONIC ns and durations ns; addresses are hex strings; all else
    counts. Raises polars errors for a damaged table: call it inside ``trace.reading()``.
    """
    # Everything below asks about the same faults: they are worked out once.
    return summary_of(trace, fault_rows(trace, evidence=False).collect().lazy())


def summary_of(
    trace: Trace, faults: pl.LazyFrame, events: pl.LazyFrame | None = None
) -> dict[str, Any]:
    """``summary`` for one who has the rows of ``faults`` already.

    ``events`` are those that count, if not all do.
    """
    arenas, programs = trace.scan("arenas"), trace.scan("programs")
    events = trace.scan("events") if events is None else events
    # In a stream and once: collected with the rest, the events would be held for both uses.
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
        "notices": list(trace.notices),
    }


def duration_ns(meta: Meta, last_ts_ns: int | None) -> int | None:
    """From start to end of the recording, or to the last event where the end is not known."""
    end = last_ts_ns if meta.end_ts_ns is None else meta.end_ts_ns
    # Below 0 a time tells only the order.
    return None if end is None or end < 0 else max(0, end - meta.start_ts_ns)
