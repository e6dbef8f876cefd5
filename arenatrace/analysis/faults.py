"""What faulted, where, and whose fault was it? One row per fault."""

from __future__ import annotations

import polars as pl

from arenatrace.analysis.addresses import with_addresses
from arenatrace.analysis.attribution.arena_of_fault import with_arena
from arenatrace.analysis.attribution.blame import with_attribution
from arenatrace.analysis.attribution.callees import with_callee
from arenatrace.analysis.causes.diagnosis import with_diagnosis
from arenatrace.analysis.causes.kernel_memory import with_kernel_memory
from arenatrace.analysis.causes.oops_reason import with_oops_reason
from arenatrace.analysis.pages.coverage import knowledge
from arenatrace.analysis.reported_addresses import known_time, real_code, with_told_addresses
from arenatrace.analysis.signatures import with_signature
from arenatrace.schema import FAULT_SIDES, Kind, Outcome
from arenatrace.trace.reader import Trace

_OUTCOMES = {int(outcome): outcome.label for outcome in Outcome}
_SIDES = {int(kind): side for kind, side in FAULT_SIDES.items()}


def faults(trace: Trace, *, evidence: bool = True) -> pl.LazyFrame:
    """The faults of ``trace`` in time order, numbered from 1, with the members of the contract.

    Members are those of one ``faults --json`` object, with addresses as unsigned integers
    and ``callee``, ``prog``, ``source`` and ``task`` as structs (null where nothing is known);
    added to them are ``prog_index``, an index into programs, and ``title``. Times are
    CLOCK_MONOTONIC ns, ``page`` counts arena pages, ``offset`` bytes into the page. The trace
    is read here, not when the result is collected: call it inside ``trace.reading()``.
    """
    return fault_contract(diagnosed_faults(trace, evidence=evidence).lazy())


def diagnosed_faults(trace: Trace, first: int = 1, *, evidence: bool = True) -> pl.DataFrame:
    """The faults of ``trace`` with everything that is known about them, ``faults`` and more.

    ``first`` is the number of the first one. Without ``evidence`` the sentences about causes
    are left out, for one who only counts.
    """
    rows = located_faults(trace, first).collect()
    known = knowledge(trace.meta, trace.lost, trace.scan("events"))
    diagnosed = with_diagnosis(rows, trace, known, evidence=evidence)
    return with_signature(diagnosed.lazy()).sort("fault").collect()


def placed_faults(trace: Trace, first: int = 1) -> pl.LazyFrame:
    """The faults of ``trace``, numbered from ``first``, with arena and page, and no more yet."""
    return _placed(_seen(trace), trace.scan("arenas").collect().lazy(), first)


def _seen(trace: Trace) -> pl.LazyFrame:
    seen = pl.col("kind").is_in([*_SIDES, int(Kind.KERNEL_ALLOC)])
    return trace.scan("events").filter(seen).collect(engine="streaming").lazy()


def _placed(seen: pl.LazyFrame, arenas: pl.LazyFrame, first: int) -> pl.LazyFrame:
    rows = (
        seen.filter(pl.col("kind").is_in(list(_SIDES)))
        .sort("ts_ns", "seq", maintain_order=True)
        .with_row_index("fault", offset=first)
        .with_columns(pl.col("comm").cast(pl.String))
        .rename({"uaddr": "told"})
    )
    rows = with_addresses(with_arena(rows, arenas), arenas)
    return with_told_addresses(rows, arenas).collect().lazy()


def located_faults(trace: Trace, first: int = 1) -> pl.LazyFrame:
    """The faults of ``trace`` with who and where, before anything is said about why."""
    # The questions below ask for all of this many times over: it is read once. One plan of all
    # questions together would take longer to make than to carry out.
    arenas, programs = (trace.scan(table).collect().lazy() for table in ("arenas", "programs"))
    seen = _seen(trace)
    rows = _placed(seen, arenas, first)
    rows = with_attribution(rows, trace.scan("stacks"), programs).collect().lazy()
    rows = with_callee(rows, trace.scan("symbols"))
    rows = with_oops_reason(rows, programs, arenas, trace.meta.profile)
    rows = with_kernel_memory(rows, seen.filter(pl.col("kind") == int(Kind.KERNEL_ALLOC)))
    return rows.join(_program_facts(programs), on="prog", how="left").with_columns(
        side=pl.col("kind").replace_strict(_SIDES, default=None, return_dtype=pl.String),
        outcome=pl.col("outcome").replace_strict(_OUTCOMES, default=None, return_dtype=pl.String),
        access=pl.when("write").then(pl.lit("write")).when(~pl.col("write")).then(pl.lit("read")),
    )


def _program_facts(programs: pl.LazyFrame) -> pl.LazyFrame:
    return programs.select("prog", *(pl.col(c).alias(f"prog_{c}") for c in _PROG))


_PROG = ("id", "name", "tag", "type")


def _struct_or_null(**members: str) -> pl.Expr:
    """A struct of columns, null if all of them are."""
    known = pl.any_horizontal(pl.col(column).is_not_null() for column in members.values())
    return pl.when(known).then(pl.struct(*(pl.col(c).alias(n) for n, c in members.items())))


def fault_contract(rows: pl.LazyFrame) -> pl.LazyFrame:
    """The members of ``faults`` of rows of ``diagnosed_faults``."""
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
