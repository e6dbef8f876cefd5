"""Evidence for a cause, as sentences."""

from __future__ import annotations

import polars as pl

from arenatrace.analysis.causes.reasons import Reason, reason_is
from arenatrace.analysis.causes.rules import is_null_page
from arenatrace.analysis.pages.operations import Op
from arenatrace.analysis.text_columns import formatted
from arenatrace.schema import BAND_SZ

_NS_PER = ((1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us"))

#: Reasons for a page that nothing in the trace ever mapped.
_NEVER_MAPPED = (Reason.NEVER_ALLOCATED, Reason.OUT_OF_BOUNDS)


def with_cause_evidence(faults: pl.DataFrame, programs: pl.DataFrame) -> pl.DataFrame:
    """Add ``cause_evidence``, a list of sentences, to ``faults``.

    Ages count back from the fault, distances are in bytes.

    Args:
        faults: rows of ``with_cause``, with ``refused``, a refused allocation that returned NULL.
        programs: ``prog``, ``id`` and ``name`` of the table ``programs``.
    """
    names = programs.select(
        "prog", name=pl.coalesce("name", formatted("program {}", pl.col("id")))
    ).drop_nulls()
    after_use = reason_is(Reason.FREED, Reason.JUST_FREED, Reason.SCRATCH_FREED, Reason.FREE_QUEUED)
    sentences = [
        pl.when(pl.col("twin") & (pl.col("outcome") == "already-mapped")).then(
            pl.lit("another fault installed the scratch page during this one")
        ),
        pl.when(reason_is(Reason.STALE_TRANSLATION)).then(
            formatted(
                "the scratch page had been installed for {}, since fault #{}",
                _age(pl.col("ts_ns") - pl.col("scratched_ts_ns")),
                "scratched_by",
            )
        ),
        pl.when(reason_is(Reason.SCRATCH_FREED)).then(
            formatted(
                "an earlier fault had installed the scratch page; a free removed it {} before the "
                "fault, {}",
                _ago("cleared"),
                _by("cleared", names),
            )
        ),
        pl.when(reason_is(Reason.MAPPED_DURING_FAULT, Reason.JUST_MAPPED, Reason.MAPPED_NEXT)).then(
            _concurrent_mapping(names)
        ),
        pl.when(reason_is(Reason.MAPPED_DURING_FAULT, Reason.JUST_MAPPED)).then(
            pl.lit("the page was mapped when the kernel handled the fault: the access came first")
        ),
        pl.when(reason_is(Reason.MAPPED_UNRECORDED)).then(
            pl.lit("the handler found the page mapped; the mapping is not recorded")
        ),
        pl.when(after_use | reason_is(Reason.CONTRADICTION)).then(_mapping("birth", names)),
        pl.when(reason_is(Reason.FREED, Reason.JUST_FREED)).then(_free("death", names)),
        pl.when(reason_is(Reason.FREED_UNRECORDED_MAPPING)).then(_free("freed", names)),
        pl.when(reason_is(Reason.FREE_QUEUED)).then(
            formatted(
                "its free was queued {} before the fault, {}, and not yet drained",
                _age(pl.col("ts_ns") - _member("queued", "called_ts_ns")),
                _by("queued", names),
            )
        ),
        pl.when(reason_is(Reason.RESERVED)).then(
            formatted(
                "reserved {} before the fault, {}; a reserved page is never mapped",
                _ago("reserved"),
                _by("reserved", names),
            )
        ),
        pl.when(is_null_page()).then(
            pl.when(reason_is(Reason.NULL_PAGE))
            .then(pl.lit("32-bit offset 0 of the arena, where a NULL arena pointer points"))
            .otherwise(pl.lit("a NULL arena pointer would point to the same page"))
        ),
        pl.when(is_null_page()).then(_refused()),
        pl.when(reason_is(Reason.OUTSIDE_USER_RANGE)).then(
            formatted("the arena has {} pages", "max_entries")
        ),
        pl.when(reason_is(Reason.GUARD_BAND)).then(_guard()),
        pl.when(reason_is(*_NEVER_MAPPED)).then(_never_mapped()),
        *(_neighbour(side) for side in ("below", "above")),
    ]
    return faults.with_columns(cause_evidence=pl.concat_list(sentences).list.drop_nulls())


def _member(role: str, member: str) -> pl.Expr:
    return pl.col(role).struct.field(member)


def _age(ns: pl.Expr) -> pl.Expr:
    """Return a duration as text with a fitting unit; a negative one as 0 ns."""
    ns = pl.max_horizontal(ns, pl.lit(0, pl.Int64))
    text = formatted("{} ns", ns)
    for size, unit in reversed(_NS_PER):
        tenths = (ns * 10 + size // 2) // size
        shown = formatted(f"{{}}.{{}} {unit}", tenths // 10, tenths % 10)
        text = pl.when(ns >= size).then(shown).otherwise(text)
    return text


def _ago(role: str) -> pl.Expr:
    return _age(pl.col("ts_ns") - _member(role, "ts_ns"))


def _by(role: str, names: pl.DataFrame) -> pl.Expr:
    """Return the program, if known, and the task of an operation as text."""
    task = formatted(
        "by {} (tid {})",
        _member(role, "comm").fill_null("an unknown task"),
        _member(role, "tid").cast(pl.String).fill_null("?"),
    )
    program = _member(role, "prog").replace_strict(
        names["prog"], names["name"], default=None, return_dtype=pl.String
    )
    same_task = pl.when((_member(role, "tid") == pl.col("tid")).fill_null(value=False)).then(
        pl.lit(", the task that faulted")
    )
    return pl.concat_str(
        pl.coalesce(formatted("by program {} in ", program), pl.lit("")),
        pl.when(program.is_not_null()).then(task.str.strip_prefix("by ")).otherwise(task),
        pl.coalesce(same_task, pl.lit("")),
    )


def _range(role: str) -> pl.Expr:
    """Return the pages of an operation as text."""
    first = _member(role, "pgoff").cast(pl.Int64)
    last = first + _member(role, "pages") - 1
    return (
        pl.when(_member(role, "pages") == 1)
        .then(formatted("page {}", first))
        .otherwise(formatted("pages {}-{}", first, last))
    )


def _mapping(role: str, names: pl.DataFrame) -> pl.Expr:
    verb = (
        pl.when(_member(role, "op") == int(Op.USER_MAP))
        .then(pl.lit("mapped for user space"))
        .otherwise(pl.lit("allocated"))
    )
    return formatted(
        "{} {} {} before the fault, {}", _range(role), verb, _ago(role), _by(role, names)
    )


def _free(role: str, names: pl.DataFrame) -> pl.Expr:
    immediate = formatted(
        "{} freed {} before the fault, {}", _range(role), _ago(role), _by(role, names)
    )
    deferred = formatted(
        "{} freed {} before the fault, {}; the free was deferred and drained {} before the fault",
        _range(role),
        _age(pl.col("ts_ns") - _member(role, "called_ts_ns")),
        _by(role, names),
        _ago(role),
    )
    was_deferred = _member(role, "ts_ns") != _member(role, "called_ts_ns")
    return pl.when(was_deferred).then(deferred).otherwise(immediate)


def _concurrent_mapping(names: pl.DataFrame) -> pl.Expr:
    before = (pl.col("ts_ns") - _member("birth", "ts_ns")).abs()
    after = (_member("next_map", "ts_ns") - pl.col("ts_ns")).abs()
    earlier = (before <= after) | (before.is_not_null() & after.is_null())
    return (
        pl.when(~reason_is(Reason.MAPPED_NEXT) & earlier.fill_null(value=False))
        .then(_mapping("birth", names))
        .otherwise(
            formatted(
                "{} mapped {} after the fault was handled, {}",
                _range("next_map"),
                _age(_member("next_map", "ts_ns") - pl.col("ts_ns")),
                _by("next_map", names),
            )
        )
    )


def _refused() -> pl.Expr:
    return formatted(
        "an allocation of {} pages by the same task was refused {} before: the task probably "
        "used its NULL result",
        _member("refused", "pages"),
        _ago("refused"),
    )


def _never_mapped() -> pl.Expr:
    age = _age(pl.col("ts_ns") - pl.col("create_ts_ns"))
    return formatted("nothing mapped the page since its arena was created {} before", age)


def _guard() -> pl.Expr:
    past = pl.col("kaddr") - pl.col("kern_vm_start") - pl.lit(BAND_SZ, pl.UInt64)
    short = pl.col("kern_vm_start") - pl.col("kaddr")
    return (
        pl.when(pl.col("band") == "upper-guard")
        .then(
            formatted(
                "{} bytes past the last address that a 32-bit arena pointer can reach", past + 1
            )
        )
        .otherwise(formatted("{} bytes before the first address of the arena's band", short))
    )


def _neighbour(side: str) -> pl.Expr:
    first, last = _member(side, "first"), _member(side, "last")
    pages = (
        pl.when(first == last)
        .then(formatted("page {}", first))
        .otherwise(formatted("pages {}-{}", first, last))
    )
    distance = _member(side, "distance")
    where = (
        formatted("{} bytes past the end of", distance)
        if side == "below"
        else formatted("{} bytes before the start of", distance)
    )
    return pl.when(
        reason_is(
            *_NEVER_MAPPED,
            Reason.OUTSIDE_USER_RANGE,
            Reason.RESERVED,
            Reason.PREEXISTING_ARENA,
        )
    ).then(
        formatted(
            "{} a live allocation, {}, made {} before by {}",
            where,
            pages,
            _ago(side),
            _member(side, "comm").fill_null("an unknown task"),
        )
    )
