"""Everything that happened to one page, in words."""

from __future__ import annotations

from typing import Any

import polars as pl

from arenatrace.analysis.pages.operations import Op, page_operations
from arenatrace.analysis.reported_addresses import known_time
from arenatrace.analysis.text_columns import formatted
from arenatrace.trace.reader import Trace

#: What an operation did to the page.
DID = {
    Op.ALLOC: "allocated",
    Op.USER_MAP: "mapped by user space",
    Op.FREE: "freed",
    Op.RESERVE: "reserved",
    Op.QUEUE: "free queued",
    Op.SEGV: "SIGSEGV in user space",
    Op.REFUSED: "allocation refused",
}


def page_story(
    trace: Trace, rows: pl.DataFrame, arena: int, page: int, since_ns: int
) -> list[dict[str, Any]]:
    """What happened to ``page`` of ``arena`` over the whole trace, in order of (ts_ns, seq).

    ``rows`` are those of ``diagnosed_faults``. Each entry has ``ts_ns``, ``seq``, ``what``,
    ``first`` and ``pages`` (the whole range), ``drained``, ``tid``, ``comm``, ``fault`` (its
    number, null for an operation) and ``at_ns``, the time after ``since_ns``, null where the
    time is not known.
    """
    place = pl.DataFrame(
        {"arena": [arena], "page": [page]}, schema={"arena": pl.UInt32, "page": pl.UInt32}
    )
    done = page_operations(trace.scan("events"), place).select(
        "ts_ns",
        "seq",
        what=pl.col("op").replace_strict(
            {int(op): text for op, text in DID.items()}, default=None, return_dtype=pl.String
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
    told = (
        pl.concat([done, faults])
        .sort("ts_ns", "seq", maintain_order=True)
        .with_columns(at_ns=known_time("ts_ns") - max(since_ns, 0))
    )
    return told.to_dicts()
