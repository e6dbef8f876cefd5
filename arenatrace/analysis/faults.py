"""Faults of a trace, one row each: location, blamed program, cause."""

from __future__ import annotations

import polars as pl

from arenatrace.analysis.addresses import with_addresses
from arenatrace.analysis.attribution.arena_of_fault import with_arena
from arenatrace.analysis.attribution.blame import with_attribution
from arenatrace.analysis.attribution.callees import with_callee
from arenatrace.analysis.causes.diagnosis import with_diagnosis
from arenatrace.analysis.causes.kernel_memory import with_kernel_memory
from arenatrace.analysis.causes.oops_reason import with_oops_reason
from arenatrace.analysis.pages.coverage import read_coverage
from arenatrace.analysis.reported_addresses import known_time, real_code, with_reported_addresses
from arenatrace.analysis.signatures import with_signature
from arenatrace.schema import FAULT_SIDES, Kind, Outcome
from arenatrace.trace.reader import Trace

_OUTCOMES = {int(outcome): outcome.label for outcome in Outcome}
_SIDES = {int(kind): side for kind, side in FAULT_SIDES.items()}


def faults(trace: Trace, *, evidence: bool = True) -> pl.LazyFrame:
    """Return the faults of ``trace`` in time order, numbered from 1.

    Columns are the members of a ``faults --json`` object, with addresses as unsigned integers and
    ``callee``, ``prog``, ``source`` and ``task`` as structs (null if nothing is known), plus
    ``prog_index``, an index into programs, and ``title``. Times are CLOCK_MONOTONIC ns, ``page``
    is an arena page, ``offset`` a byte offset in the page.

    The trace is read by this call, not when the result is collected: call it inside
    ``trace.reading()``. Raises polars errors for a damaged table.
    """
    return fault_contract(diagnosed_faults(trace, evidence=evidence).lazy())


def diagnosed_faults(trace: Trace, first: int = 1, *, evidence: bool = True) -> pl.DataFrame:
    """Return the faults of ``trace`` with all columns of the diagnosis.

    Args:
        trace: the trace.
        first: number of the first fault.
        evidence: whether to add the sentences about causes; counting does not need them.
    """
    rows = located_faults(trace, first).collect()
    coverage = read_coverage(trace.meta, trace.lost, trace.scan("events"))
    diagnosed = with_diagnosis(rows, trace, coverage, evidence=evidence)
    return with_signature(diagnosed.lazy()).sort("fault").collect()


def placed_faults(trace: Trace, first: int = 1) -> pl.LazyFrame:
    """Return the faults of ``trace``, numbered from ``first``, with arena and page only."""
    return _placed(_fault_events(trace), trace.scan("arenas").collect().lazy(), first)


def _fault_events(trace: Trace) -> pl.LazyFrame:
    wanted = pl.col("kind").is_in([*_SIDES, int(Kind.KERNEL_ALLOC)])
    return trace.scan("events").filter(wanted).collect(engine="streaming").lazy()


def _placed(events: pl.LazyFrame, arenas: pl.LazyFrame, first: int) -> pl.LazyFrame:
    rows = (
        events.filter(pl.col("kind").is_in(list(_SIDES)))
        .sort("ts_ns", "seq", maintain_order=True)
        .with_row_index("fault", offset=first)
        .with_columns(pl.col("comm").cast(pl.String))
        .rename({"uaddr": "reported"})
    )
    rows = with_addresses(with_arena(rows, arenas), arenas)
    return with_reported_addresses(rows, arenas).collect().lazy()


def located_faults(trace: Trace, first: int = 1) -> pl.LazyFrame:
    """Return the faults of ``trace`` with location and blamed program, without causes."""
    # The steps below use these tables several times, so they are collected once. A single lazy
    # plan of all steps would take longer to optimise than to run.
    arenas, programs = (trace.scan(table).collect().lazy() for table in ("arenas", "programs"))
    events = _fault_events(trace)
    rows = _placed(events, arenas, first)
    rows = with_attribution(rows, trace.scan("stacks"), programs).collect().lazy()
    rows = with_callee(rows, trace.scan("symbols"))
    rows = with_oops_reason(rows, programs, arenas, trace.meta.profile)
    rows = with_kernel_memory(rows, events.filter(pl.col("kind") == int(Kind.KERNEL_ALLOC)))
    return rows.join(_program_columns(programs), on="prog", how="left").with_columns(
        side=pl.col("kind").replace_strict(_SIDES, default=None, return_dtype=pl.String),
        outcome=pl.col("outcome").replace_strict(_OUTCOMES, default=None, return_dtype=pl.String),
        access=pl.when("write").then(pl.lit("write")).when(~pl.col("write")).then(pl.lit("read")),
    )


def _program_columns(programs: pl.LazyFrame) -> pl.LazyFrame:
    return programs.select("prog", *(pl.col(c).alias(f"prog_{c}") for c in _PROG))


_PROG = ("id", "name", "tag", "type")


def _struct_or_null(**members: str) -> pl.Expr:
    """Return a struct of columns, null if all of them are null."""
    known = pl.any_horizontal(pl.col(column).is_not_null() for column in members.values())
    return pl.when(known).then(pl.struct(*(pl.col(c).alias(n) for n, c in members.items())))


def fault_contract(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Return the columns of ``faults`` from rows of ``diagnosed_faults``."""
    return rows.select(
        "fault",
        known_time("ts_ns"),
        "side",
        "outcome",
        "oops_reason",
        "access",
        "kaddr",
        "uaddr",
        "page",
        "offset",
        "band",
        real_code("ip"),
        callee=_struct_or_null(symbol="symbol", module="module"),
        prog=_struct_or_null(**{name: f"prog_{name}" for name in _PROG}),
        function="function",
        source=_struct_or_null(file="file", line="line", text="text"),
        attribution="attribution",
        cause="cause",
        confidence="confidence",
        evidence=pl.concat_list(
            "oops_evidence", "kernel_evidence", "attribution_evidence", "cause_evidence", "doubt"
        ),
        ended_by="ended_by",
        lifetime_ns="lifetime_ns",
        user_sigsegv="user_sigsegv",
        allocs_refused="allocs_refused",
        task=pl.struct("pid", "tid", "comm"),
        signature="signature",
        arena="arena",
        prog_index="prog",
        title="title",
    )
