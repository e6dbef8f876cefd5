"""The facts behind a cause, as sentences."""

from __future__ import annotations

import polars as pl

from arenatrace.analysis.causes.rules import is_null_page
from arenatrace.analysis.pages.operations import Op
from arenatrace.analysis.text_columns import formatted
from arenatrace.schema import BAND_SZ, Cause

_NS_PER = ((1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us"))

#: Reasons for a page that nothing in the trace ever mapped.
_NEVER_MAPPED = (Cause.NEVER_ALLOCATED, Cause.OUT_OF_BOUNDS)


def with_cause_evidence(faults: pl.DataFrame, programs: pl.DataFrame) -> pl.DataFrame:
    """``faults`` with ``cause_evidence``, a list of sentences, added.

    ``faults`` are those of ``with_cause`` and may have ``refused``, the refused allocation that
    gave a NULL that was used. Ages are counted back from the fault, distances are in bytes.
    """
    names = programs.select(
        "prog", name=pl.coalesce("name", formatted("program {}", pl.col("id")))
    ).drop_nulls()
    reason = pl.col("reason")
    after_use = reason.is_in(["freed", "just-freed", "scratch-freed", "free-queued"])
    sentences = [
        pl.when(pl.col("twin") & (pl.col("outcome") == "already-mapped")).then(
            pl.lit("another fault put the scratch page there while this one was under way")
        ),
        pl.when(reason == "stale").then(
            formatted(
                "the page had held the scratch page for {} since fault #{}",
                _age(pl.col("ts_ns") - pl.col("scratched_ts_ns")),
                "scratched_by",
            )
        ),
        pl.when(reason == "scratch-freed").then(
            formatted(
                "an earlier fault had filled the page with the scratch page; a free took that "
                "away {} before the fault, {}",
                _ago("cleared"),
                _by("cleared", names),
            )
        ),
        pl.when(reason.is_in(["mapped-meanwhile", "just-mapped", "mapped-next"])).then(
            _mapped_about_now(names)
        ),
        pl.when(reason.is_in(["mapped-meanwhile", "just-mapped"])).then(
            pl.lit("the page was mapped when the kernel saw to the fault: the access came first")
        ),
        pl.when(reason == "mapped-by-something").then(
            pl.lit("the handler found the page mapped, by what is not recorded")
        ),
        pl.when(after_use | (reason == "contradiction")).then(_made("birth", names)),
        pl.when(reason.is_in(["freed", "just-freed"])).then(_freed("death", names)),
        pl.when(reason == "freed-only").then(_freed("freed", names)),
        pl.when(reason == "free-queued").then(
            formatted(
                "its free was queued {} before the fault, {}, and not yet done",
                _age(pl.col("ts_ns") - _fact("queued", "called_ts_ns")),
                _by("queued", names),
            )
        ),
        pl.when(reason == "reserved").then(
            formatted(
                "reserved {} before the fault, {}; a reserved page is never mapped",
                _ago("reserved"),
                _by("reserved", names),
            )
        ),
        pl.when(is_null_page()).then(
            pl.when(reason == Cause.NULL_PAGE.value)
            .then(pl.lit("32-bit offset 0 of the arena: what a NULL arena pointer reaches"))
            .otherwise(pl.lit("a NULL arena pointer would reach the same page"))
        ),
        pl.when(is_null_page()).then(_refused()),
        pl.when(reason == Cause.OUTSIDE_USER_RANGE.value).then(
            formatted("the arena has {} pages", "max_entries")
        ),
        pl.when(reason == Cause.GUARD_BAND.value).then(_guard()),
        pl.when(reason.is_in([cause.value for cause in _NEVER_MAPPED])).then(_never()),
        *(_neighbour(side) for side in ("below", "above")),
    ]
    return faults.with_columns(cause_evidence=pl.concat_list(sentences).list.drop_nulls())


def _fact(role: str, member: str) -> pl.Expr:
    return pl.col(role).struct.field(member)


def _age(ns: pl.Expr) -> pl.Expr:
    """A duration as a number with a unit that suits it; a negative one as 0 ns."""
    ns = pl.max_horizontal(ns, pl.lit(0, pl.Int64))
    text = formatted("{} ns", ns)
    for size, unit in reversed(_NS_PER):
        tenths = (ns * 10 + size // 2) // size
        shown = formatted(f"{{}}.{{}} {unit}", tenths // 10, tenths % 10)
        text = pl.when(ns >= size).then(shown).otherwise(text)
    return text


def _ago(role: str) -> pl.Expr:
    return _age(pl.col("ts_ns") - _fact(role, "ts_ns"))


def _by(role: str, names: pl.DataFrame) -> pl.Expr:
    """Who did it: the program if it is known, and the task."""
    task = formatted(
        "by {} (tid {})",
        _fact(role, "comm").fill_null("an unknown task"),
        _fact(role, "tid").cast(pl.String).fill_null("?"),
    )
    program = _fact(role, "prog").replace_strict(
        names["prog"], names["name"], default=None, return_dtype=pl.String
    )
    same = pl.when((_fact(role, "tid") == pl.col("tid")).fill_null(value=False)).then(
        pl.lit(", the task that faulted")
    )
    return pl.concat_str(
        pl.coalesce(formatted("by program {} in ", program), pl.lit("")),
        pl.when(program.is_not_null()).then(task.str.strip_prefix("by ")).otherwise(task),
        pl.coalesce(same, pl.lit("")),
    )


def _range(role: str) -> pl.Expr:
    """The pages an operation covered."""
    first = _fact(role, "pgoff").cast(pl.Int64)
    last = first + _fact(role, "pages") - 1
    return (
        pl.when(_fact(role, "pages") == 1)
        .then(formatted("page {}", first))
        .otherwise(formatted("pages {}-{}", first, last))
    )


def _made(role: str, names: pl.DataFrame) -> pl.Expr:
    word = (
        pl.when(_fact(role, "op") == int(Op.USER_MAP))
        .then(pl.lit("mapped for user space"))
        .otherwise(pl.lit("allocated"))
    )
    return formatted(
        "{} {} {} before the fault, {}", _range(role), word, _ago(role), _by(role, names)
    )


def _freed(role: str, names: pl.DataFrame) -> pl.Expr:
    at_once = formatted(
        "{} freed {} before the fault, {}", _range(role), _ago(role), _by(role, names)
    )
    deferred = formatted(
        "{} freed {} before the fault, {}; the free was deferred and done {} before the fault",
        _range(role),
        _age(pl.col("ts_ns") - _fact(role, "called_ts_ns")),
        _by(role, names),
        _ago(role),
    )
    was_deferred = _fact(role, "ts_ns") != _fact(role, "called_ts_ns")
    return pl.when(was_deferred).then(deferred).otherwise(at_once)


def _mapped_about_now(names: pl.DataFrame) -> pl.Expr:
    before = (pl.col("ts_ns") - _fact("birth", "ts_ns")).abs()
    after = (_fact("next_map", "ts_ns") - pl.col("ts_ns")).abs()
    earlier = (before <= after) | (before.is_not_null() & after.is_null())
    return (
        pl.when((pl.col("reason") != "mapped-next") & earlier.fill_null(value=False))
        .then(_made("birth", names))
        .otherwise(
            formatted(
                "{} mapped {} after the fault was handled, {}",
                _range("next_map"),
                _age(_fact("next_map", "ts_ns") - pl.col("ts_ns")),
                _by("next_map", names),
            )
        )
    )


def _refused() -> pl.Expr:
    return formatted(
        "an allocation of {} pages by the same task was refused {} before: its NULL result "
        "was probably used",
        _fact("refused", "pages"),
        _ago("refused"),
    )


def _never() -> pl.Expr:
    age = _age(pl.col("ts_ns") - pl.col("create_ts_ns"))
    return formatted("nothing mapped the page since its arena was created {} before", age)


def _guard() -> pl.Expr:
    past = pl.col("kaddr") - pl.col("kern_vm_start") - pl.lit(BAND_SZ, pl.UInt64)
    short = pl.col("kern_vm_start") - pl.col("kaddr")
    return (
        pl.when(pl.col("band") == "upper-guard")
        .then(formatted("{} bytes past the last address a 32-bit arena pointer can have", past + 1))
        .otherwise(formatted("{} bytes before the first address of the arena's band", short))
    )


def _neighbour(side: str) -> pl.Expr:
    first, last = _fact(side, "first"), _fact(side, "last")
    pages = (
        pl.when(first == last)
        .then(formatted("page {}", first))
        .otherwise(formatted("pages {}-{}", first, last))
    )
    distance = _fact(side, "distance")
    place = (
        formatted("{} bytes past the end of", distance)
        if side == "below"
        else formatted("{} bytes before the start of", distance)
    )
    return pl.when(
        pl.col("reason").is_in(
            [
                *(cause.value for cause in _NEVER_MAPPED),
                *(Cause.OUTSIDE_USER_RANGE.value, "reserved", "too-old"),
            ]
        )
    ).then(
        formatted(
            "{} a live allocation, {}, made {} before by {}",
            place,
            pages,
            _ago(side),
            _fact(side, "comm").fill_null("an unknown task"),
        )
    )
