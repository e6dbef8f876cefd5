"""Full report on one fault, as plain values."""

from __future__ import annotations

from typing import Any

import polars as pl

from arenatrace.analysis.attribution.call_stack import call_stack
from arenatrace.analysis.causes.reasons import Reason
from arenatrace.analysis.faults import diagnosed_faults, fault_contract
from arenatrace.analysis.pages.address_space import address_space
from arenatrace.analysis.pages.operations import Op
from arenatrace.analysis.pages.timeline import OPERATION_LABELS, page_timeline
from arenatrace.analysis.totals import lost
from arenatrace.schema import Cause
from arenatrace.trace.reader import Trace

#: Columns of a diagnosed fault whose operations the report resolves to stack and program.
OPERATION_COLUMNS = ("birth", "death", "freed", "queued")
#: Entries of the page's timeline in the report; the others are counted.
MAX_ENTRIES = 12
_HISTORY_CAUSES = (
    *(Cause.USE_AFTER_FREE, Cause.FREE_RACE, Cause.REFAULT, Cause.ALLOC_RACE, Cause.UNKNOWN),
)
#: SIGSEGVs in the report.
MAX_VICTIMS = 5


def explanation(trace: Trace, number: int) -> dict[str, Any] | None:
    """Return the report on fault ``number``; None if there is no such fault.

    Members: ``fault``, its object of ``faults``; ``total``, the number of faults;
    ``same_signature``, the number of faults with its signature; ``stack``; ``allocated`` and
    ``freed``, operations with ``stack``, ``program`` and ``by_user``; ``history``, the timeline of
    its page with times in ns relative to the fault; ``earlier``, the number of entries left out of
    it; ``space``, the ranges of its arena just before the fault; ``victims``, the first SIGSEGVs
    on its scratch page; ``arena``, its row; ``trace``, facts about the trace.
    """
    return explain_fault(trace, diagnosed_faults(trace), number)


def explain_fault(trace: Trace, rows: pl.DataFrame, number: int) -> dict[str, Any] | None:
    """Return ``explanation`` from ``rows`` of ``diagnosed_faults``."""
    found = rows.filter(pl.col("fault") == number)
    if found.is_empty():
        return None
    row = found.row(0, named=True)
    fault = fault_contract(found.lazy()).collect().row(0, named=True)
    history, earlier, victims = _history(trace, rows, row)
    return {
        "fault": fault,
        "total": len(rows),
        "same_signature": rows.filter(pl.col("signature") == row["signature"]).height,
        "stack": call_stack(trace, row["stack"], fault["ip"], row["ts_ns"]),
        "allocated": _with_stack(trace, row["birth"]) if _rests_on_history(row) else None,
        "freed": _freed(trace, row) if _rests_on_history(row) else None,
        "history": history,
        "earlier": earlier,
        "space": _space(trace, row),
        "victims": victims,
        "arena": _arena(trace, row["arena"]),
        "trace": {
            "level": trace.meta.level,
            "start_ts_ns": trace.meta.start_ts_ns,
            "has_stacks": row["stack"] is not None,
            "lost": lost(trace),
        },
    }


def _rests_on_history(row: dict[str, Any]) -> bool:
    """Whether the cause rests on earlier operations on the page."""
    return row["cause"] in _HISTORY_CAUSES


def _freed(trace: Trace, row: dict[str, Any]) -> dict[str, Any] | None:
    """Return the free that unmapped the page; one before the last mapping does not count."""
    queued = row["queued"] if row["reason"] == Reason.FREE_QUEUED else None
    free = queued or row["death"] or row["freed"]
    if free is None or (row["birth"] and row["birth"]["ts_ns"] > free["ts_ns"]):
        return None
    return _with_stack(trace, free)


def _with_stack(trace: Trace, operation: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return ``operation`` with frames as ``stack``, ``program`` by name, and ``by_user``."""
    if operation is None:
        return None
    stack, prog = operation["stack"], operation["prog"]
    frames = [] if stack is None else call_stack(trace, stack, None, operation["called_ts_ns"])
    return {
        **operation,
        "stack": frames,
        "program": None if prog is None else _name(trace, prog),
        "by_user": operation["op"] == int(Op.USER_MAP),
    }


def _name(trace: Trace, prog: int) -> str | None:
    names = trace.scan("programs").filter(pl.col("prog") == prog).select("name").collect()
    return names["name"][0] if len(names) else None


def _space(trace: Trace, row: dict[str, Any]) -> list[dict[str, Any]]:
    if row["arena"] is None or row["page"] is None:
        return []
    return address_space(trace, row["arena"], (row["ts_ns"], row["seq"])).to_dicts()


def _arena(trace: Trace, arena: int | None) -> dict[str, Any] | None:
    if arena is None:
        return None
    rows = trace.scan("arenas").filter(pl.col("arena") == arena).collect()
    return rows.row(0, named=True) if len(rows) else None


def _history(
    trace: Trace, rows: pl.DataFrame, row: dict[str, Any]
) -> tuple[list[dict[str, Any]], int, list[dict[str, Any]]]:
    """Return the shown timeline entries, the number of others, and the SIGSEGVs."""
    if row["arena"] is None or row["page"] is None:
        return [], 0, []
    entries = page_timeline(trace, rows, row["arena"], row["page"], row["ts_ns"])
    here = next(index for index, entry in enumerate(entries) if entry["fault"] == row["fault"])
    start = max(0, min(here - MAX_ENTRIES * 3 // 4, len(entries) - MAX_ENTRIES))
    end = row["end"]["ts_ns"] if row["end"] else None
    victims = [
        entry
        for entry in entries[here + 1 :]
        if entry["what"] == OPERATION_LABELS[Op.SEGV] and (end is None or entry["ts_ns"] <= end)
    ]
    if row["outcome"] != "scratch-installed":
        victims = []
    shown = entries[start : start + MAX_ENTRIES]
    return shown, len(entries) - len(shown), victims[:MAX_VICTIMS]
