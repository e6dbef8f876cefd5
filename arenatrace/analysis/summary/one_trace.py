"""How bad is it, who did it, and where? The summary of a whole trace."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import polars as pl

from arenatrace.analysis import fault_counts
from arenatrace.analysis.faults import faults as fault_rows
from arenatrace.analysis.text_columns import formatted
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
    by_program, by_arena, by_cause, by_signature, others = pl.collect_all(
        [
            fault_counts.programs(faults, programs),
            _arenas(activity.lazy(), arenas, faults),
            fault_counts.causes(faults),
            fault_counts.signatures(faults),
            programs.select((~pl.col("own").fill_null(value=False)).sum()),
        ]
    )
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
            "arenas": len(by_arena),
            "programs": others.item(),
            "lost": lost(trace),
        },
        "programs": _with_causes(by_program, by_cause),
        "arenas": by_arena.to_dicts(),
        "causes": _sum_causes(by_cause),
        "signatures": by_signature.to_dicts(),
        "notices": list(trace.notices),
    }


def duration_ns(meta: Meta, last_ts_ns: int | None) -> int | None:
    """From start to end of the recording, or to the last event where the end is not known."""
    end = last_ts_ns if meta.end_ts_ns is None else meta.end_ts_ns
    # Below 0 a time tells only the order.
    return None if end is None or end < 0 else max(0, end - meta.start_ts_ns)


def _arenas(activity: pl.LazyFrame, arenas: pl.LazyFrame, faults: pl.LazyFrame) -> pl.LazyFrame:
    numbers = ["faults", *fault_counts.COUNTS, "allocs", "frees", "reserves"]
    return (
        arenas.select(
            "arena",
            "map_id",
            "name",
            "max_entries",
            formatted("0x{}", _hex("user_vm_start")).alias("user_vm_start"),
            formatted("0x{}", _hex("kern_vm_start")).alias("kern_vm_start"),
            "preexisting",
            "create_ts_ns",
            "destroy_ts_ns",
        )
        .join(fault_counts.fault_counts(faults, "arena"), on="arena", how="left")
        .join(activity.select("arena", "allocs", "frees", "reserves"), on="arena", how="left")
        .with_columns(pl.col(*numbers).fill_null(0))
        .sort("faults", "arena", descending=[True, False])
    )


def _hex(column: str) -> pl.Expr:
    """The hex digits of an address column; arenas are few, so this may be Python."""
    return pl.col(column).map_elements(lambda value: f"{value:x}", return_dtype=pl.String)


def _with_causes(by_program: pl.DataFrame, by_cause: pl.DataFrame) -> list[dict[str, Any]]:
    rows = []
    for row in by_program.iter_rows(named=True):
        own = by_cause.filter(pl.col("prog_index") == row["prog"])
        rows.append({**row, "causes": dict(own.select("cause", "count").iter_rows())})
    return rows


def _sum_causes(by_cause: pl.DataFrame) -> dict[str, int]:
    summed = by_cause.group_by("cause", maintain_order=True).agg(pl.col("count").sum())
    return dict(summed.sort("count", descending=True, maintain_order=True).iter_rows())
