"""Stages from an open trace to a full snapshot, cheap ones first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import polars as pl
import pyarrow.parquet as pq

from arenatrace.analysis import fault_counts
from arenatrace.analysis.faults import diagnosed_faults, fault_contract, located_faults
from arenatrace.analysis.signatures import with_signature
from arenatrace.analysis.summary.one_trace import summary_of
from arenatrace.analysis.totals import event_totals
from arenatrace.trace.reader import Trace
from arenatrace.tui.snapshot import Snapshot

#: Events counted between two snapshots.
CHUNK = 2_000_000

#: Shares of the progress bar: counting, attribution, causes.
_COUNTED, _LOCATED = 0.2, 0.4

_NOT_SUMMED = ("last_ts_ns",)


def head(trace: Trace) -> Snapshot:
    """Return a snapshot made from the metadata alone, without reading events."""
    events = None
    file = trace.path / "events.parquet"
    if trace.meta.sealed and file.exists():
        events = pq.read_metadata(file).num_rows
    return Snapshot(
        path=trace.path,
        meta=trace.meta,
        warnings=tuple(trace.warnings),
        events=events,
        totals={"lost": sum(trace.lost.values())},
        stage="counting events",
        progress=0.0,
    )


def counted(trace: Trace, first: Snapshot) -> Iterator[Snapshot]:
    """Yield ``first`` with growing counts, chunk by chunk."""
    events = trace.scan("events")
    total = first.events
    if total is None:
        total = int(events.select(pl.len()).collect().item())
    sums: dict[str, int] = {}
    for offset in range(0, total, CHUNK):
        row = event_totals(events.slice(offset, CHUNK)).collect().row(0, named=True)
        for name, number in row.items():
            if name not in _NOT_SUMMED:
                sums[name] = sums.get(name, 0) + number
        yield replace(
            first,
            events=total,
            totals={**first.totals, **sums},
            progress=_COUNTED * min(1.0, (offset + CHUNK) / total),
        )


def located(trace: Trace, before: Snapshot) -> Snapshot:
    """Return ``before`` with the faults and their attribution, without causes."""
    unknown = pl.lit(None, pl.String)
    nothing = pl.lit([], pl.List(pl.String))
    rows = located_faults(trace).with_columns(
        cause=unknown,
        confidence=unknown,
        oops_evidence=nothing,
        cause_evidence=nothing,
        doubt=nothing,
        ended_by=unknown,
        lifetime_ns=pl.lit(None, pl.Int64),
        user_sigsegv=pl.lit(0, pl.UInt32),
        allocs_refused=pl.lit(0, pl.UInt32),
    )
    faults = fault_contract(with_signature(rows)).sort("fault").collect()
    groups = fault_counts.signatures(faults.lazy()).collect()
    return replace(
        before,
        faults=faults,
        signatures=tuple(groups.to_dicts()),
        stage=f"explaining {len(faults):,} faults" if len(faults) else "counting",
        progress=_LOCATED,
    )


def explained(trace: Trace, before: Snapshot) -> tuple[Snapshot, pl.DataFrame]:
    """Return the complete ``before``, and the rows of ``diagnosed_faults`` behind it."""
    rows = diagnosed_faults(trace)
    faults = fault_contract(rows.lazy()).collect()
    found = summary_of(trace, faults.lazy())
    return replace(
        before,
        faults=faults,
        explained=True,
        totals=found["totals"],
        duration_ns=found["trace"]["duration_ns"],
        signatures=tuple(found["signatures"]),
        programs=tuple(found["programs"]),
        arenas=tuple(found["arenas"]),
        causes=found["causes"],
        stage="",
        progress=None,
    ), rows
