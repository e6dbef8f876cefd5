"""Cause and confidence of every fault.

The rules, their order and their limits are described in docs/causes.md.
"""

from __future__ import annotations

import polars as pl

from arenatrace.analysis.causes.reasons import Reason, cause_of_reason, reason_is
from arenatrace.analysis.pages.coverage import Coverage
from arenatrace.analysis.pages.operations import LIVE_OPS, Op
from arenatrace.schema import BAND_SZ, PAGE_SIZE, Cause

#: Two events on a page within this many ns count as concurrent. A fault is stamped when the kernel
#: reads the page table entry, an allocation when ``arena_alloc_pages`` returns, a free when
#: ``arena_free_pages`` begins. Each stamp is off by up to the duration of the call.
RACE_NS = 1_000_000

#: Longest stall of a CPU between a faulting access and its report, in ns: a hypervisor may
#: deschedule the virtual CPU. Only allocations and scratch installs are searched this far back.
STALL_NS = 100_000_000

#: Pages past or before a live allocation that count as out of its bounds.
OUT_OF_BOUNDS_PAGES = 1


def with_cause(faults: pl.DataFrame, arenas: pl.DataFrame, coverage: Coverage) -> pl.DataFrame:
    """Add ``cause``, ``reason``, ``confidence``, ``doubt`` and ``twin`` to ``faults``.

    ``cause`` is a ``schema.Cause``; ``reason`` is the rule that applied; ``confidence`` is
    ``certain``, ``likely`` or ``unknown``; ``doubt`` is a list of sentences about the limits of the
    trace; ``twin`` is true if another fault installed the scratch page during this one.

    Args:
        faults: rows with ``ts_ns``, ``side``, ``outcome``, ``tid``, ``uaddr``, ``page``, ``band``
            and the columns of ``page_history`` and ``near_allocations``, null without a history.
        arenas: the table ``arenas``.
        coverage: the coverage of the trace.
    """
    rows = faults.join(
        arenas.select("arena", "create_ts_ns", "preexisting"), on="arena", how="left"
    )
    rows = rows.with_columns(
        preexisting=pl.col("preexisting").fill_null(value=False) | pl.col("create_ts_ns").is_null(),
        twin=_twin(),
    )
    rows = rows.with_columns(
        is_complete=~pl.col("preexisting")
        & ~coverage.has_gap(rows["create_ts_ns"], rows["ts_ns"])
        & pl.lit(coverage.partial is None),
        has_birth_gap=coverage.has_gap(
            rows.select(_member("birth", "ts_ns").alias("ns"))["ns"], rows["ts_ns"]
        ),
    )
    rows = rows.with_columns(reason=_reason(has_history=coverage.no_history is None))
    rows = rows.with_columns(cause=cause_of_reason(), since_ns=_decisive_ns())
    rows = rows.with_columns(has_gap=coverage.has_gap(rows["since_ns"], rows["ts_ns"]))
    return rows.with_columns(confidence=_confidence(coverage), doubt=_doubt(coverage)).drop(
        "has_gap", "since_ns", "is_complete", "has_birth_gap"
    )


def _member(role: str, member: str) -> pl.Expr:
    return pl.col(role).struct.field(member)


def _within(ns: pl.Expr) -> pl.Expr:
    return (ns.abs() <= RACE_NS).fill_null(value=False)


def _live() -> pl.Expr:
    return pl.col("last").is_in([int(op) for op in LIVE_OPS]).fill_null(value=False)


def _other_task(role: str) -> pl.Expr:
    return (_member(role, "tid") != pl.col("tid")).fill_null(value=False)


def _twin() -> pl.Expr:
    """Whether another fault installed the scratch page during this one.

    The entry was empty when the CPU walked it, although the handler found it filled.
    """
    since = pl.col("ts_ns") - pl.col("scratched_ts_ns")
    before = (since <= STALL_NS).fill_null(value=False)
    return before | _within(pl.col("next_install_ts_ns") - pl.col("ts_ns"))


def is_null_page() -> pl.Expr:
    """Whether the address lies in the page of 32-bit offset 0, where a NULL pointer points."""
    low = pl.col("uaddr") & pl.lit(BAND_SZ - 1, pl.UInt64)
    # Without an arena, as in imported text, the first page of the upper guard has offset 0 too.
    inside = pl.col("page").is_not_null() | pl.col("band").is_null()
    return inside & (low < PAGE_SIZE).fill_null(value=False)


def _reason(*, has_history: bool) -> pl.Expr:
    band = pl.col("band")
    is_mapped = (pl.col("outcome") == "already-mapped").fill_null(value=False)
    alone = is_mapped & ~pl.col("twin")
    age = pl.col("ts_ns") - _member("birth", "ts_ns")
    # The kernel does not check the entry again on a program-side fault; only its report is seen.
    may_have_stalled = (pl.col("side") == "prog") & (age <= STALL_NS) & ~pl.col("has_birth_gap")
    just_mapped = (_within(age) | may_have_stalled.fill_null(value=False)) & _live()
    mapped_next = _within(_member("next_map", "ts_ns") - pl.col("ts_ns"))
    just_freed = _within(pl.col("ts_ns") - _member("death", "ts_ns")) & _other_task("death")
    was_live = pl.col("birth").is_not_null()
    return (
        # Page 0 of an arena can be the NULL page. If it was in use, its history decides.
        pl.when(is_null_page() & ~was_live)
        .then(pl.lit(Reason.NULL_PAGE.value))
        .when(band.is_in(["upper-guard", "lower-guard"]))
        .then(pl.lit(Reason.GUARD_BAND.value))
        .when(band == "kernel-band")
        .then(pl.lit(Reason.OUTSIDE_USER_RANGE.value))
        .when(band.is_null())
        .then(pl.lit(Reason.UNKNOWN_ARENA.value))
        # The entry was empty when the CPU walked it and filled when the handler read it.
        .when(alone & (_live() | mapped_next))
        .then(pl.lit(Reason.MAPPED_DURING_FAULT.value))
        .when(alone & pl.col("scratched_by").is_not_null())
        .then(pl.lit(Reason.STALE_TRANSLATION.value))
        .when(alone)
        .then(pl.lit(Reason.MAPPED_UNRECORDED.value))
        .when(pl.lit(not has_history))
        .then(pl.lit(Reason.NO_HISTORY.value))
        .when(_live() & pl.col("queued").is_not_null())
        .then(pl.lit(Reason.FREE_QUEUED.value))
        .when(just_mapped)
        .then(pl.lit(Reason.JUST_MAPPED.value))
        .when(_live())
        .then(pl.lit(Reason.CONTRADICTION.value))
        .when((pl.col("last") == int(Op.RESERVE)).fill_null(value=False))
        .then(pl.lit(Reason.RESERVED.value))
        .when(pl.col("cleared").is_not_null())
        .then(pl.lit(Reason.SCRATCH_FREED.value))
        .when(was_live & just_freed)
        .then(pl.lit(Reason.JUST_FREED.value))
        .when(was_live)
        .then(pl.lit(Reason.FREED.value))
        .otherwise(_reason_never_live(mapped_next))
    )


def _reason_never_live(mapped_next: pl.Expr) -> pl.Expr:
    """Return the reason for a page that nothing in the trace ever mapped."""
    close = pl.min_horizontal(
        _member("below", "distance") // PAGE_SIZE, (_member("above", "distance") - 1) // PAGE_SIZE
    )
    return (
        pl.when((pl.col("side") == "prog") & mapped_next & _other_task("next_map"))
        .then(pl.lit(Reason.MAPPED_NEXT.value))
        .when(pl.col("freed").is_not_null() & ~pl.col("is_complete"))
        .then(pl.lit(Reason.FREED_UNRECORDED_MAPPING.value))
        .when("preexisting")
        .then(pl.lit(Reason.PREEXISTING_ARENA.value))
        .when((close < OUT_OF_BOUNDS_PAGES).fill_null(value=False))
        .then(pl.lit(Reason.OUT_OF_BOUNDS.value))
        .otherwise(pl.lit(Reason.NEVER_ALLOCATED.value))
    )


def _decisive_ns() -> pl.Expr:
    """Return the time since which the history must be complete for the reason to hold, ns."""
    return (
        pl.when(reason_is(Reason.FREED, Reason.JUST_FREED))
        .then(_member("death", "ts_ns"))
        .when(reason_is(Reason.FREED_UNRECORDED_MAPPING))
        .then(_member("freed", "ts_ns"))
        .when(reason_is(Reason.SCRATCH_FREED))
        .then(_member("cleared", "ts_ns"))
        .when(reason_is(Reason.STALE_TRANSLATION))
        .then(pl.col("scratched_ts_ns"))
        .when(reason_is(Reason.MAPPED_DURING_FAULT))
        .then(pl.coalesce(pl.when(_live()).then(_member("birth", "ts_ns")), "ts_ns"))
        .when(reason_is(Reason.RESERVED))
        .then(_member("reserved", "ts_ns"))
        .when(reason_is(Reason.FREE_QUEUED))
        .then(_member("queued", "ts_ns"))
        .otherwise("create_ts_ns")
    )


#: Reasons that follow from the address alone.
_FROM_THE_ADDRESS = (Reason.NULL_PAGE, Reason.GUARD_BAND, Reason.OUTSIDE_USER_RANGE)
#: Reasons that follow from the outcome, without allocations and frees in the trace.
_FROM_THE_OUTCOME = (
    Reason.MAPPED_DURING_FAULT,
    Reason.STALE_TRANSLATION,
    Reason.MAPPED_UNRECORDED,
)
#: Reasons that need the history of the page since the creation of its arena.
_NEEDS_CREATION = (Reason.NEVER_ALLOCATED, Reason.OUT_OF_BOUNDS)
#: Reasons that are likely at most.
_INFERRED = (
    Reason.JUST_MAPPED,
    Reason.MAPPED_UNRECORDED,
    Reason.MAPPED_NEXT,
    Reason.JUST_FREED,
    Reason.FREED_UNRECORDED_MAPPING,
    Reason.OUT_OF_BOUNDS,
)


def _confidence(coverage: Coverage) -> pl.Expr:
    is_incomplete = reason_is(*_NEEDS_CREATION) & pl.lit(coverage.partial is not None)
    # The access may have meant a page of the user range, unless that page was never used.
    outside = pl.col("band") == "kernel-band"
    unused = (
        pl.col("is_complete")
        & (pl.col("band") == "user-range")
        & pl.lit(coverage.no_history is None)
    )
    is_ambiguous = is_null_page() & ~(outside | unused & reason_is(Reason.NULL_PAGE)).fill_null(
        value=False
    )
    has_no_operations = reason_is(*_FROM_THE_OUTCOME) & pl.lit(coverage.no_history is not None)
    is_sure = (
        ~(pl.col("has_gap") & ~reason_is(*_FROM_THE_ADDRESS))
        & ~is_incomplete
        & ~is_ambiguous
        & ~has_no_operations
    )
    return (
        pl.when(pl.col("cause") == Cause.UNKNOWN.value)
        .then(pl.lit("unknown"))
        .when(reason_is(*_INFERRED))
        .then(pl.lit("likely"))
        .when(is_sure)
        .then(pl.lit("certain"))
        .otherwise(pl.lit("likely"))
    )


def _doubt(coverage: Coverage) -> pl.Expr:
    return pl.concat_list(
        pl.when(reason_is(Reason.UNKNOWN_ARENA)).then(
            pl.lit("the address lies in no arena with a known address and size")
        ),
        pl.when(reason_is(Reason.NO_HISTORY, *_FROM_THE_OUTCOME)).then(pl.lit(coverage.no_history)),
        pl.when(
            reason_is(Reason.PREEXISTING_ARENA, Reason.FREED_UNRECORDED_MAPPING)
            & pl.col("preexisting")
        ).then(
            pl.lit(
                "the arena is older than the recording, or its creation was lost: its earlier "
                "contents are unknown"
                if coverage.has_losses
                else "the arena is older than the recording: its earlier contents are unknown"
            )
        ),
        pl.when(reason_is(Reason.FREED_UNRECORDED_MAPPING) & ~pl.col("preexisting")).then(
            pl.lit("the operation that mapped the page before that free was not recorded")
        ),
        pl.when(reason_is(Reason.CONTRADICTION)).then(
            pl.lit("the trace says that the page was mapped: its unmapping was not recorded")
        ),
        pl.when(
            pl.col("has_gap")
            & ~reason_is(*_FROM_THE_ADDRESS, Reason.UNKNOWN_ARENA, Reason.NO_HISTORY)
        ).then(pl.lit("events were lost before the fault: the history of the page may have a gap")),
        pl.when(reason_is(*_NEEDS_CREATION) & pl.lit(coverage.partial is not None)).then(
            pl.lit(coverage.partial)
        ),
    ).list.drop_nulls()
