"""History of each faulted page: operations before and after its fault."""

from __future__ import annotations

import polars as pl

from arenatrace.analysis.pages.operations import LIVE_OPS, STATE_OPS, Op

_PAGE = ["arena", "page"]

#: Members of the struct of one operation.
OPERATION = (
    *("ts_ns", "called_ts_ns", "drained", "op", "pgoff", "pages"),
    *("pid", "tid", "comm", "prog", "stack"),
)

#: Columns of ``page_history`` that are structs of one operation.
ROLES = ("birth", "death", "cleared", "freed", "reserved", "queued", "next_map", "end")

#: Operations that remove the scratch page from a page table entry (scratch-replace).
REPLACED_BY = (Op.ALLOC, Op.USER_MAP, Op.FREE)
#: Under scratch-sticky no operation removes it.
STICKY: tuple[Op, ...] = ()


def page_history(
    faults: pl.DataFrame, operations: pl.DataFrame, ends_scratch: tuple[Op, ...] = REPLACED_BY
) -> pl.DataFrame:
    """Return one row per fault with the operations on its page around it.

    Columns about the time before the fault:
    ``last``: code of the last operation that determined the page's state.
    ``birth``: operation that last mapped the page.
    ``death``: free that last unmapped a mapped page.
    ``freed``: last free of any kind.
    ``cleared``: free that last removed a scratch page.
    ``reserved``: last reservation.
    ``queued``: last deferred free, if it is not drained yet.
    ``scratched_by``, ``scratched_ts_ns``: number and time of the fault whose scratch page is
    installed.

    Columns about the time after the fault:
    ``next_map``: next operation that maps the page.
    ``next_install_ts_ns``: time of the next scratch install.
    ``end``: for a fault that installed the scratch page, the operation that removed it; null if
    none did, or if another fault found the page empty before that (``vanished``).
    ``user_sigsegv``, ``allocs_refused``: counts of SIGSEGVs and refused allocations on that
    scratch page.

    Args:
        faults: rows with ``fault``, ``ts_ns``, ``seq``, ``arena``, ``page`` and ``outcome``.
        operations: rows of ``page_operations``.
        ends_scratch: operations that remove the scratch page, ``REPLACED_BY`` or ``STICKY``.
    """
    rows = _with_order(faults, operations)
    rows = _with_states(rows, ends_scratch)
    rows = rows.with_columns(*_before(), *_after())
    history = _with_operations(rows, operations)
    return history.join(
        _consequences(rows), on="fault", how="left", maintain_order="left"
    ).with_columns(pl.col("user_sigsegv", "allocs_refused").fill_null(0))


def _with_order(faults: pl.DataFrame, operations: pl.DataFrame) -> pl.DataFrame:
    """Return faults and operations in one frame with ``ord``, their rank in (ts_ns, seq) order."""
    installed = (pl.col("outcome") == "scratch-installed").fill_null(value=False)
    fault_rows = faults.select(
        "ts_ns",
        "seq",
        *_PAGE,
        "fault",
        op=pl.when(installed).then(int(Op.INSTALL)).otherwise(int(Op.FAULT)).cast(pl.UInt8),
    )
    done = operations.select("ts_ns", "seq", *_PAGE, "op", "drained").with_row_index("operation")
    return (
        pl.concat([done, fault_rows], how="diagonal")
        .with_columns(pl.col("drained").fill_null(value=False))
        .sort("ts_ns", "seq", maintain_order=True)
        .with_row_index("ord")
        .with_columns(pl.col("ord").cast(pl.Int64))
        .sort(*_PAGE, "ord")
    )


def _is(*ops: Op) -> pl.Expr:
    return pl.col("op").is_in([int(op) for op in ops])


def _earlier(condition: pl.Expr, value: str) -> pl.Expr:
    """Return ``value`` of the last earlier row of the page that meets ``condition``."""
    return pl.when(condition).then(pl.col(value)).forward_fill().shift(1).over(_PAGE)


def _later(condition: pl.Expr, value: str) -> pl.Expr:
    """Return ``value`` of the next later row of the page that meets ``condition``."""
    return pl.when(condition).then(pl.col(value)).backward_fill().shift(-1).over(_PAGE)


def _with_states(rows: pl.DataFrame, ends_scratch: tuple[Op, ...]) -> pl.DataFrame:
    """Add the state before each row (``last``, ``scratch``) and its effect on the page.

    Effects are ``maps``, ``unmaps``, ``clears`` (a free of a scratch page) and ``ends`` (any
    removal of a scratch page).
    """
    live = pl.col("last").is_in([int(op) for op in LIVE_OPS]).fill_null(value=False)
    scratch = pl.col("last_fill") == int(Op.INSTALL)
    ends = _is(*ends_scratch)
    return rows.with_columns(
        last=_earlier(_is(*STATE_OPS), "op"),
        last_fill=_earlier(_is(Op.INSTALL) | ends, "op"),
    ).with_columns(
        maps=_is(Op.ALLOC) | (_is(Op.USER_MAP) & ~live),
        unmaps=_is(Op.FREE) & live,
        scratch=scratch.fill_null(value=False),
        clears=_is(Op.FREE) & ends & scratch.fill_null(value=False),
        ends=ends,
    )


def _queued_frees() -> pl.Expr:
    """Return the number of queued deferred frees of the page."""
    return (_is(Op.QUEUE).cast(pl.Int32) - pl.col("drained").cast(pl.Int32)).cum_sum().over(_PAGE)


def _before() -> list[pl.Expr]:
    return [
        _earlier(pl.col("maps"), "operation").alias("birth"),
        _earlier(pl.col("maps"), "ord").alias("birth_ord"),
        _earlier(pl.col("unmaps"), "operation").alias("death"),
        _earlier(pl.col("clears"), "operation").alias("cleared"),
        _earlier(pl.col("clears"), "ord").alias("cleared_ord"),
        _earlier(_is(Op.FREE), "operation").alias("freed"),
        _earlier(_is(Op.RESERVE), "operation").alias("reserved"),
        # A drain takes the whole queue: if any free is queued, the last one is.
        pl.when(_queued_frees() > 0).then(_earlier(_is(Op.QUEUE), "operation")).alias("queued"),
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


def _with_operations(rows: pl.DataFrame, operations: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of faults, with the operation of each role as a struct."""
    installed_again = (pl.col("next_install_ord") < pl.col("end_ord")) | (
        pl.col("next_install_ord").is_not_null() & pl.col("end_ord").is_null()
    )
    installed = _is(Op.INSTALL)
    of_faults = rows.filter(pl.col("fault").is_not_null()).with_columns(
        vanished=(installed & installed_again).fill_null(value=False),
        end=pl.when(installed & ~installed_again.fill_null(value=False)).then("end"),
        # A scratch page cleared before the page was mapped again does not matter any more.
        cleared=pl.when(
            (pl.col("cleared_ord") > pl.col("birth_ord")) | pl.col("birth_ord").is_null()
        ).then("cleared"),
    )
    numbered = operations.with_row_index("operation")
    for role in ROLES:
        named = numbered.select(
            pl.col("operation").alias(role), pl.struct(OPERATION).alias(f"{role}_operation")
        ).join(of_faults.select(role), on=role, how="semi")
        of_faults = (
            of_faults.join(named, on=role, how="left")
            .drop(role)
            .rename({f"{role}_operation": role})
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


def _consequences(rows: pl.DataFrame) -> pl.DataFrame:
    """Return per fault the SIGSEGVs and refused allocations that its scratch page caused."""
    return (
        rows.filter(_is(Op.SEGV, Op.REFUSED) & pl.col("scratched_by").is_not_null())
        .group_by(pl.col("scratched_by").alias("fault"))
        .agg(user_sigsegv=_is(Op.SEGV).sum(), allocs_refused=_is(Op.REFUSED).sum())
    )
