"""Diagnosis of faults: page history, cause, evidence and consequences joined to each fault."""

from __future__ import annotations

import polars as pl

from arenatrace.analysis.attribution.callers import with_caller
from arenatrace.analysis.causes.evidence import with_cause_evidence
from arenatrace.analysis.causes.rules import is_null_page, with_cause
from arenatrace.analysis.causes.scratch_lifetime import with_scratch_lifetime
from arenatrace.analysis.pages.coverage import Coverage
from arenatrace.analysis.pages.event_pass import page_pass
from arenatrace.analysis.pages.history import REPLACED_BY, STICKY, page_history
from arenatrace.analysis.pages.neighbours import near_allocations, near_targets
from arenatrace.schema import Kind, ProfileName
from arenatrace.trace.reader import Trace

#: A refused allocation explains the use of a NULL pointer for this long, ns.
_REFUSED_REACH_NS = 1_000_000_000


def with_diagnosis(
    faults: pl.DataFrame, trace: Trace, coverage: Coverage, *, evidence: bool = True
) -> pl.DataFrame:
    """Add cause, confidence, evidence, consequences and page history to ``faults``.

    Memory grows with the events that cover faulted pages or pages near them.

    Args:
        faults: rows with the columns of ``with_cause``, ``page_history`` and ``near_targets``.
        trace: the trace of the faults.
        coverage: its coverage.
        evidence: whether to add sentences; without it their lists are empty.
    """
    events = trace.scan("events")
    arenas = trace.scan("arenas").collect()
    programs = trace.scan("programs")
    targets = near_targets(faults, arenas)
    in_range = faults.filter(pl.col("band") == "user-range")
    pages = in_range.select("arena", "page")
    operations, near_operations = page_pass(events, pages, targets)
    operations = with_caller(operations, trace.scan("stacks"), programs)
    is_sticky = trace.meta.profile == ProfileName.SCRATCH_STICKY
    history = page_history(
        in_range.select("fault", "ts_ns", "seq", "arena", "page", "outcome"),
        operations,
        STICKY if is_sticky else REPLACED_BY,
    )
    near = near_allocations(targets, near_operations)
    rows = faults.join(history.drop("ord"), on="fault", how="left", maintain_order="left").join(
        near, on="fault", how="left", maintain_order="left"
    )
    rows = with_cause(rows, arenas, coverage)
    rows = rows.join(arenas.select("arena", "max_entries", "kern_vm_start"), on="arena", how="left")
    if evidence:
        rows = _with_refused(rows, events)
        rows = with_cause_evidence(rows, programs.select("prog", "id", "name").collect())
    else:
        rows = rows.with_columns(cause_evidence=pl.lit([], pl.List(pl.String)))
    rows = _with_consequences(rows, coverage)
    return with_scratch_lifetime(rows, arenas, coverage).sort("fault")


def _with_consequences(faults: pl.DataFrame, coverage: Coverage) -> pl.DataFrame:
    """Set counts without a match to 0, and counts of unrecorded events to null."""
    is_recorded = {
        "user_sigsegv": coverage.has_user_faults,
        "allocs_refused": coverage.no_history is None,
    }
    return faults.with_columns(
        pl.col(name).fill_null(0) if recorded else pl.lit(None, pl.UInt32).alias(name)
        for name, recorded in is_recorded.items()
    )


def _with_refused(faults: pl.DataFrame, events: pl.LazyFrame) -> pl.DataFrame:
    """Add ``refused``, the last allocation refused to the task, to faults on the NULL page."""
    nulls = faults.filter(is_null_page()).select("fault", "arena", "tid", "ts_ns")
    nothing = pl.lit(None, pl.Struct({"ts_ns": pl.Int64, "pages": pl.UInt32}))
    if nulls.is_empty():
        return faults.with_columns(refused=nothing)
    refusals = (
        events.filter((pl.col("kind") == int(Kind.PAGE_ALLOC)) & (pl.col("ret") == 0))
        .select("arena", "tid", "ts_ns", refused=pl.struct("ts_ns", "pages"))
        .join(nulls.select("arena", "tid").unique().lazy(), on=["arena", "tid"], how="semi")
        .collect(engine="streaming")
    )
    found = nulls.sort("ts_ns").join_asof(
        refusals.sort("ts_ns"),
        on="ts_ns",
        by=["arena", "tid"],
        tolerance=_REFUSED_REACH_NS,
        check_sortedness=False,
    )
    return faults.join(
        found.select("fault", "refused"), on="fault", how="left", maintain_order="left"
    )
