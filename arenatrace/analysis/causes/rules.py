"""Why was the page not there? A cause for every fault, and how sure it is.

The rules, their order and their limits are described in docs/causes.md.
"""

from __future__ import annotations

import polars as pl

from arenatrace.analysis.pages.coverage import Knowledge
from arenatrace.analysis.pages.operations import LIVE_OPS, Op
from arenatrace.schema import BAND_SZ, PAGE_SIZE, Cause

#: Two things that happen to a page within this many ns are taken as concurrent. A fault is
#: stamped when the kernel looks at the page's entry, an allocation when ``arena_alloc_pages``
#: returns, a free when ``arena_free_pages`` begins: each up to the time it takes apart.
RACE_NS = 1_000_000

#: How long a CPU may be kept between an access that faults and the report of it, in ns: the
#: host of a virtual machine may take the CPU away. Only allocations and faults that filled the
#: page are looked for so far back.
STALL_NS = 100_000_000

#: How many pages past or before a live allocation count as its bounds overrun.
OUT_OF_BOUNDS_PAGES = 1


def with_cause(faults: pl.DataFrame, arenas: pl.DataFrame, known: Knowledge) -> pl.DataFrame:
    """``faults`` with ``cause``, ``reason``, ``confidence`` and ``doubt`` added.

    ``faults`` has the columns of ``page_history`` and ``near_allocations`` (null where there is
    no history) beside ``ts_ns``, ``side``, ``outcome``, ``tid``, ``uaddr``, ``page`` and ``band``.
    ``confidence`` is ``certain``, ``likely`` or ``unknown``; ``doubt`` is a list of sentences
    on what the trace cannot know; ``reason`` is the rule that applied and ``twin`` says that
    another fault filled the page while this one ran.
    """
    rows = faults.join(
        arenas.select("arena", "create_ts_ns", "preexisting"), on="arena", how="left"
    )
    rows = rows.with_columns(
        preexisting=pl.col("preexisting").fill_null(value=False) | pl.col("create_ts_ns").is_null(),
        twin=_twin(),
    )
    rows = rows.with_columns(
        from_start=~pl.col("preexisting")
        & ~known.gaps_since(rows["create_ts_ns"], rows["ts_ns"])
        & pl.lit(known.partial is None),
        birth_gap=known.gaps_since(
            rows.select(_fact("birth", "ts_ns").alias("ns"))["ns"], rows["ts_ns"]
        ),
    )
    rows = rows.with_columns(reason=_reason(blind=known.blind is not None))
    rows = rows.with_columns(cause=pl.col("reason").replace(_CAUSE_OF), since_ns=_decided_by_ns())
    rows = rows.with_columns(gap=known.gaps_since(rows["since_ns"], rows["ts_ns"]))
    return rows.with_columns(confidence=_confidence(known), doubt=_doubt(known)).drop(
        "gap", "since_ns", "from_start", "birth_gap"
    )


#: Finer reasons than causes: which rule applied.
_CAUSE_OF = {
    "no-place": Cause.UNKNOWN.value,
    "no-history": Cause.UNKNOWN.value,
    "too-old": Cause.UNKNOWN.value,
    "contradiction": Cause.UNKNOWN.value,
    "mapped-meanwhile": Cause.ALLOC_RACE.value,
    "mapped-by-something": Cause.ALLOC_RACE.value,
    "just-mapped": Cause.ALLOC_RACE.value,
    "mapped-next": Cause.ALLOC_RACE.value,
    "stale": Cause.REFAULT.value,
    "scratch-freed": Cause.REFAULT.value,
    "free-queued": Cause.FREE_RACE.value,
    "just-freed": Cause.FREE_RACE.value,
    "freed": Cause.USE_AFTER_FREE.value,
    "freed-only": Cause.USE_AFTER_FREE.value,
    "reserved": Cause.RESERVED_GUARD.value,
}


def _fact(role: str, member: str) -> pl.Expr:
    return pl.col(role).struct.field(member)


def _within(ns: pl.Expr) -> pl.Expr:
    return (ns.abs() <= RACE_NS).fill_null(value=False)


def _live() -> pl.Expr:
    return pl.col("last").is_in([int(op) for op in LIVE_OPS]).fill_null(value=False)


def _other_task(role: str) -> pl.Expr:
    return (_fact(role, "tid") != pl.col("tid")).fill_null(value=False)


def _twin() -> pl.Expr:
    """Another fault filled the page with the scratch page while this one was under way.

    What it found mapped had been empty when the CPU looked, however long ago that was.
    """
    since = pl.col("ts_ns") - pl.col("scratched_ts_ns")
    before = (since <= STALL_NS).fill_null(value=False)
    return before | _within(pl.col("next_install_ts_ns") - pl.col("ts_ns"))


def is_null_page() -> pl.Expr:
    """The address lies in the page of 32-bit offset 0, which a NULL arena pointer reaches."""
    low = pl.col("uaddr") & pl.lit(BAND_SZ - 1, pl.UInt64)
    # Without an arena, as in imported text, it may also be the first page of the upper guard.
    inside = pl.col("page").is_not_null() | pl.col("band").is_null()
    return inside & (low < PAGE_SIZE).fill_null(value=False)


def _reason(*, blind: bool) -> pl.Expr:
    band = pl.col("band")
    already = (pl.col("outcome") == "already-mapped").fill_null(value=False)
    alone = already & ~pl.col("twin")
    age = pl.col("ts_ns") - _fact("birth", "ts_ns")
    # A program-side fault is not looked at again: what is seen is when it was reported.
    stalled = (pl.col("side") == "prog") & (age <= STALL_NS) & ~pl.col("birth_gap")
    born = (_within(age) | stalled.fill_null(value=False)) & _live()
    next_born = _within(_fact("next_map", "ts_ns") - pl.col("ts_ns"))
    just_freed = _within(pl.col("ts_ns") - _fact("death", "ts_ns")) & _other_task("death")
    was_live = pl.col("birth").is_not_null()
    return (
        # Page 0 of an arena can be the NULL page; where it was in use, its history counts.
        pl.when(is_null_page() & ~was_live)
        .then(pl.lit(Cause.NULL_PAGE.value))
        .when(band.is_in(["upper-guard", "lower-guard"]))
        .then(pl.lit(Cause.GUARD_BAND.value))
        .when(band == "kernel-band")
        .then(pl.lit(Cause.OUTSIDE_USER_RANGE.value))
        .when(band.is_null())
        .then(pl.lit("no-place"))
        # The entry was empty when the CPU looked and full when the handler did.
        .when(alone & (_live() | next_born))
        .then(pl.lit("mapped-meanwhile"))
        .when(alone & pl.col("scratched_by").is_not_null())
        .then(pl.lit("stale"))
        .when(alone)
        .then(pl.lit("mapped-by-something"))
        .when(pl.lit(blind))
        .then(pl.lit("no-history"))
        .when(_live() & pl.col("queued").is_not_null())
        .then(pl.lit("free-queued"))
        .when(born)
        .then(pl.lit("just-mapped"))
        .when(_live())
        .then(pl.lit("contradiction"))
        .when((pl.col("last") == int(Op.RESERVE)).fill_null(value=False))
        .then(pl.lit("reserved"))
        .when(pl.col("cleared").is_not_null())
        .then(pl.lit("scratch-freed"))
        .when(was_live & just_freed)
        .then(pl.lit("just-freed"))
        .when(was_live)
        .then(pl.lit("freed"))
        .otherwise(_reason_never_live(next_born))
    )


def _reason_never_live(next_born: pl.Expr) -> pl.Expr:
    """For a page that nothing in the trace ever mapped."""
    close = pl.min_horizontal(
        _fact("below", "distance") // PAGE_SIZE, (_fact("above", "distance") - 1) // PAGE_SIZE
    )
    return (
        pl.when((pl.col("side") == "prog") & next_born & _other_task("next_map"))
        .then(pl.lit("mapped-next"))
        .when(pl.col("freed").is_not_null() & ~pl.col("from_start"))
        .then(pl.lit("freed-only"))
        .when("preexisting")
        .then(pl.lit("too-old"))
        .when((close < OUT_OF_BOUNDS_PAGES).fill_null(value=False))
        .then(pl.lit(Cause.OUT_OF_BOUNDS.value))
        .otherwise(pl.lit(Cause.NEVER_ALLOCATED.value))
    )


def _decided_by_ns() -> pl.Expr:
    """Since when the history must be whole for the reason to hold; null: since long ago."""
    by = pl.col("reason")
    return (
        pl.when(by.is_in(["freed", "just-freed"]))
        .then(_fact("death", "ts_ns"))
        .when(by == "freed-only")
        .then(_fact("freed", "ts_ns"))
        .when(by == "scratch-freed")
        .then(_fact("cleared", "ts_ns"))
        .when(by == "stale")
        .then(pl.col("scratched_ts_ns"))
        .when(by == "mapped-meanwhile")
        .then(pl.coalesce(pl.when(_live()).then(_fact("birth", "ts_ns")), "ts_ns"))
        .when(by == "reserved")
        .then(_fact("reserved", "ts_ns"))
        .when(by == "free-queued")
        .then(_fact("queued", "ts_ns"))
        .otherwise("create_ts_ns")
    )


#: Reasons that need no history.
_AT_SIGHT = (Cause.NULL_PAGE.value, Cause.GUARD_BAND.value, Cause.OUTSIDE_USER_RANGE.value)
#: Reasons that a trace without allocations and frees can give, if less surely.
_FROM_THE_OUTCOME = ("mapped-meanwhile", "stale", "mapped-by-something")
_NEEDS_START = (Cause.NEVER_ALLOCATED.value, Cause.OUT_OF_BOUNDS.value)
_INFERRED = ("just-mapped", "mapped-by-something", "mapped-next", "just-freed", "freed-only")


def _confidence(known: Knowledge) -> pl.Expr:
    by = pl.col("reason")
    incomplete = by.is_in(_NEEDS_START) & pl.lit(known.partial is not None)
    # A page of the user range may have been meant, unless it is known never to have been used.
    outside = pl.col("band") == "kernel-band"
    unused = pl.col("from_start") & (pl.col("band") == "user-range") & pl.lit(known.blind is None)
    ambiguous = is_null_page() & ~(outside | unused & (by == Cause.NULL_PAGE.value)).fill_null(
        value=False
    )
    unseen = by.is_in(_FROM_THE_OUTCOME) & pl.lit(known.blind is not None)
    sure = ~(pl.col("gap") & ~by.is_in(_AT_SIGHT)) & ~incomplete & ~ambiguous & ~unseen
    return (
        pl.when(pl.col("cause") == Cause.UNKNOWN.value)
        .then(pl.lit("unknown"))
        .when(by.is_in(_INFERRED) | (by == Cause.OUT_OF_BOUNDS.value))
        .then(pl.lit("likely"))
        .when(sure)
        .then(pl.lit("certain"))
        .otherwise(pl.lit("likely"))
    )


def _doubt(known: Knowledge) -> pl.Expr:
    by = pl.col("reason")
    return pl.concat_list(
        pl.when(by == "no-place").then(
            pl.lit("the address lies in no arena whose place and size are known")
        ),
        pl.when(by.is_in(["no-history", *_FROM_THE_OUTCOME])).then(pl.lit(known.blind)),
        pl.when(by.is_in(["too-old", "freed-only"]) & pl.col("preexisting")).then(
            pl.lit(
                "the arena is older than the recording, or its creation was lost: what it held "
                "before is not known"
                if known.losses or known.unmarked
                else "the arena is older than the recording: what it held before is not known"
            )
        ),
        pl.when((by == "freed-only") & ~pl.col("preexisting")).then(
            pl.lit("what had mapped the page before that free was not recorded")
        ),
        pl.when(by == "contradiction").then(
            pl.lit("the records say that the page was mapped: the end of that was not recorded")
        ),
        pl.when(pl.col("gap") & ~by.is_in((*_AT_SIGHT, "no-place", "no-history"))).then(
            pl.lit("events were lost before the fault: the history of the page may have a gap")
        ),
        pl.when(by.is_in(_NEEDS_START) & pl.lit(known.partial is not None)).then(
            pl.lit(known.partial)
        ),
    ).list.drop_nulls()
