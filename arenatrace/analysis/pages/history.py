"""What had become of a page when it faulted, and what came after?"""

from __future__ import annotations

import polars as pl

from arenatrace.analysis.pages.operations import LIVE_OPS, STATE_OPS, Op

_PAGE = ["arena", "page"]

#: Members of the struct that tells of one operation.
OPERATION = (
    *("ts_ns", "called_ts_ns", "drained", "op", "pgoff", "pages"),
    *("pid", "tid", "comm", "prog", "stack"),
)

#: Columns of ``page_history`` that are such structs.
ROLES = ("birth", "death", "cleared", "freed", "reserved", "queued", "next_map", "end")

#: What takes the scratch page out of a page table entry; on kernels where it is sticky, nothing.
REPLACED_BY = (Op.ALLOC, Op.USER_MAP, Op.FREE)
STICKY: tuple[Op, ...] = ()


def page_history(
    faults: pl.DataFrame, operations: pl.DataFrame, ends_scratch: tuple[Op, ...] = REPLACED_BY
) -> pl.DataFrame:
    """One row per fault with what the operations say about its page; all in order of (ts_ns, seq).

    ``faults`` has ``fault``, ``ts_ns``, ``seq``, ``arena``, ``page`` and ``outcome``;
    ``operations`` are those of ``page_operations``. Before the fault: ``last`` is the code of the
    last operation that decided the page's state, ``birth`` the one that last mapped it,
    ``death`` the free that last took a mapped page away, ``freed`` the last free of any kind,
    ``cleared`` the free that last took a scratch page away, ``reserved`` the last reserve,
    ``queued`` the last deferred free if no drain has done it yet, ``scratched_by`` and
    ``scratched_ts_ns`` the fault whose scratch page stands. After it: ``next_map``,
    ``next_install_ts_ns`` and, for a fault that installed the scratch page, ``end``: the
    operation that took it away, null if none did or if another fault found the page empty
    before (``vanished``); ``user_sigsegv`` and ``allocs_refused`` count what it did meanwhile.
    """
    rows = _with_order(faults, operations)
    rows = _with_states(rows, ends_scratch)
    rows = rows.with_columns(*_before(), *_after())
    told = _told(rows, operations)
    met = _met(rows)
    return told.join(met, on="fault", how="left", maintain_order="left").with_columns(
        pl.col("user_sigsegv", "allocs_refused").fill_null(0)
    )


def _with_order(faults: pl.DataFrame, operations: pl.DataFrame) -> pl.DataFrame:
    """Faults and operations as rows of one frame with ``ord``, their place in time."""
    installed = (pl.col("outcome") == "scratch-installed").fill_null(value=False)
    asked = faults.select(
        "ts_ns",
        "seq",
        *_PAGE,
        "fault",
        op=pl.when(installed).then(int(Op.INSTALL)).otherwise(int(Op.FAULT)).cast(pl.UInt8),
    )
    done = operations.select("ts_ns", "seq", *_PAGE, "op", "drained").with_row_index("operation")
    return (
        pl.concat([done, asked], how="diagonal")
        .with_columns(pl.col("drained").fill_null(value=False))
        .sort("ts_ns", "seq", maintain_order=True)
        .with_row_index("ord")
        .with_columns(pl.col("ord").cast(pl.Int64))
        .sort(*_PAGE, "ord")
    )


def _is(*ops: Op) -> pl.Expr:
    return pl.col("op").is_in([int(op) for op in ops])


def _earlier(condition: pl.Expr, value: str) -> pl.Expr:
    """``value`` of the last earlier row of the page that meets ``condition``."""
    return pl.when(condition).then(pl.col(value)).forward_fill().shift(1).over(_PAGE)


def _later(condition: pl.Expr, value: str) -> pl.Expr:
    """``value`` of the next later row of the page that meets ``condition``."""
    return pl.when(condition).then(pl.col(value)).backward_fill().shift(-1).over(_PAGE)


def _with_states(rows: pl.DataFrame, ends_scratch: tuple[Op, ...]) -> pl.DataFrame:
    """``last``, and what each row did: ``born``, ``died``, ``clears``; ``scratch`` stood before."""
    live = pl.col("last").is_in([int(op) for op in LIVE_OPS]).fill_null(value=False)
    scratch = pl.col("last_fill") == int(Op.INSTALL)
    ends = _is(*ends_scratch)
    return rows.with_columns(
        last=_earlier(_is(*STATE_OPS), "op"),
        last_fill=_earlier(_is(Op.INSTALL) | ends, "op"),
    ).with_columns(
        born=_is(Op.ALLOC) | (_is(Op.USER_MAP) & ~live),
        died=_is(Op.FREE) & live,
        scratch=scratch.fill_null(value=False),
        clears=_is(Op.FREE) & ends & scratch.fill_null(value=False),
        ends=ends,
    )


def _waiting() -> pl.Expr:
    """How many deferred frees of the page wait in the queue."""
    return (_is(Op.QUEUE).cast(pl.Int32) - pl.col("drained").cast(pl.Int32)).cum_sum().over(_PAGE)


def _before() -> list[pl.Expr]:
    return [
        _earlier(pl.col("born"), "operation").alias("birth"),
        _earlier(pl.col("born"), "ord").alias("birth_ord"),
        _earlier(pl.col("died"), "operation").alias("death"),
        _earlier(pl.col("clears"), "operation").alias("cleared"),
        _earlier(pl.col("clears"), "ord").alias("cleared_ord"),
        _earlier(_is(Op.FREE), "operation").alias("freed"),
        _earlier(_is(Op.RESERVE), "operation").alias("reserved"),
        # A drain takes all that is queued: if anything still waits, the last call does.
        pl.when(_waiting() > 0).then(_earlier(_is(Op.QUEUE), "operation")).alias("queued"),
        pl.when("scratch").then(_earlier(_is(Op.INSTALL), "fault")).alias("scratched_by"),
        pl.when("scratch").then(_earlier(_is(Op.INSTALL), "ts_ns")).alias("scratched_ts_ns"),
    ]


def _after() -> list[pl.Expr]:
    return [
        _later(_is(*LIVE_OPS), "operation").alias("next_map"),
        _later(pl.col("ends"), "operation").alias("end"),
        _later(pl.col("ends"), "ord").alias("end_ord"),
        _later(_is(Op.INSTALL), "ord").alias("next_install_ord"),
        _later(_is(Op.INSTALL), "ts_ns").alias("next_install_ts_ns"),
    ]


def _told(rows: pl.DataFrame, operations: pl.DataFrame) -> pl.DataFrame:
    """The rows of faults, with each role's operation as a struct."""
    again = (pl.col("next_install_ord") < pl.col("end_ord")) | (
        pl.col("next_install_ord").is_not_null() & pl.col("end_ord").is_null()
    )
    installed = _is(Op.INSTALL)
    of_faults = rows.filter(pl.col("fault").is_not_null()).with_columns(
        vanished=(installed & again).fill_null(value=False),
        end=pl.when(installed & ~again.fill_null(value=False)).then("end"),
        # What was cleared before the page was mapped again says nothing about it now.
        cleared=pl.when(
            (pl.col("cleared_ord") > pl.col("birth_ord")) | pl.col("birth_ord").is_null()
        ).then("cleared"),
    )
    facts = operations.with_row_index("operation")
    for role in ROLES:
        named = facts.select(
            pl.col("operation").alias(role), pl.struct(OPERATION).alias(f"{role}_facts")
        ).join(of_faults.select(role), on=role, how="semi")
        of_faults = (
            of_faults.join(named, on=role, how="left").drop(role).rename({f"{role}_facts": role})
        )
    return of_faults.select(
        "fault",
        "ord",
        "last",
        *ROLES,
        "scratched_by",
        "scratched_ts_ns",
        "next_install_ts_ns",
        "vanished",
    ).sort("fault")


def _met(rows: pl.DataFrame) -> pl.DataFrame:
    """How often a standing scratch page stopped user space and allocations, per fault."""
    return (
        rows.filter(_is(Op.SEGV, Op.REFUSED) & pl.col("scratched_by").is_not_null())
        .group_by(pl.col("scratched_by").alias("fault"))
        .agg(user_sigsegv=_is(Op.SEGV).sum(), allocs_refused=_is(Op.REFUSED).sum())
    )
