"""Timeline of one page: its operations and faults."""

from __future__ import annotations

from typing import Any

import polars as pl

from arenatrace.analysis.pages.operations import Op, page_operations
from arenatrace.analysis.reported_addresses import known_time
from arenatrace.analysis.text_columns import formatted
from arenatrace.trace.reader import Trace

#: Label of an operation in a timeline.
OPERATION_LABELS = {
    Op.ALLOC: "allocated",
    Op.USER_MAP: "mapped by user space",
    Op.FREE: "freed",
    Op.RESERVE: "reserved",
    Op.QUEUE: "free queued",
    Op.SEGV: "SIGSEGV in user space",
    Op.REFUSED: "allocation refused",
}


def page_timeline(
    trace: Trace, rows: pl.DataFrame, arena: int, page: int, since_ns: int
) -> list[dict[str, Any]]:
    """Return the operations and faults of a page over the whole trace, in (ts_ns, seq) order.

    Each entry has ``ts_ns``, ``seq``, ``what`` (a label), ``first`` and ``pages`` (the whole range
    of the operation), ``drained``, ``tid``, ``comm``, ``fault`` (its number, null for an
    operation) and ``at_ns`` (ns after ``since_ns``, null where the time is not known).

    Args:
        trace: the trace.
        rows: rows of ``diagnosed_faults``.
        arena: index of the arena.
        page: page of the arena.
        since_ns: reference time of ``at_ns``.
    """
    key = pl.DataFrame(
        {"arena": [arena], "page": [page]}, schema={"arena": pl.UInt32, "page": pl.UInt32}
    )
    operations = page_operations(trace.scan("events"), key).select(
        "ts_ns",
        "seq",
        what=pl.col("op").replace_strict(
            {int(op): label for op, label in OPERATION_LABELS.items()},
            default=None,
            return_dtype=pl.String,
        ),
        first="pgoff",
        pages="pages",
        drained="drained",
        tid="tid",
        comm="comm",
        fault=pl.lit(None, pl.UInt32),
    )
    faults = rows.filter((pl.col("arena") == arena) & (pl.col("page") == page)).select(
        "ts_ns",
        "seq",
        what=formatted("fault: {}", pl.col("outcome").fill_null("outcome unknown")),
        first="page",
        pages=pl.lit(1, pl.UInt32),
        drained=pl.lit(value=False),
        tid="tid",
        comm="comm",
        fault="fault",
    )
    return (
        pl.concat([operations, faults])
        .sort("ts_ns", "seq", maintain_order=True)
        .with_columns(at_ns=known_time("ts_ns") - max(since_ns, 0))
        .to_dicts()
    )
