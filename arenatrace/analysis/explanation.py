"""Everything there is to say about one fault."""

from __future__ import annotations

from typing import Any

import polars as pl

from arenatrace.analysis.attribution.call_stack import call_stack
from arenatrace.analysis.faults import diagnosed_faults, fault_contract
from arenatrace.analysis.pages.address_space import address_space
from arenatrace.analysis.pages.operations import Op
from arenatrace.analysis.pages.timeline import DID, page_story
from arenatrace.analysis.totals import lost
from arenatrace.schema import Cause
from arenatrace.trace.reader import Trace

#: Members of a diagnosed fault that are told with the stack and the program behind them.
EXPLAINING = ("birth", "death", "freed", "queued")
#: Entries of the page's history that are told; the rest are counted.
HISTORY = 12
_ABOUT_THE_PAST = (
    *(Cause.USE_AFTER_FREE, Cause.FREE_RACE, Cause.REFAULT, Cause.ALLOC_RACE, Cause.UNKNOWN),
)
#: SIGSEGVs that are told one by one.
VICTIMS = 5


def explanation(trace: Trace, number: int) -> dict[str, Any] | None:
    """What ``explain`` tells of fault ``number``, made of plain values; None if there is none.

    ``fault`` is its object of ``faults``; ``total`` how many there are; ``stack``, ``allocated``
    and ``freed`` (each with ``stack``, ``program`` and ``by_user``); ``history`` of its page
    with times in ns relative to the fault, ``earlier`` entries left out; ``space``, the ranges
    of its arena just before the fault; ``victims``, the first SIGSEGVs on its scratch page;
    ``arena`` facts.
    """
    return explain_fault(trace, diagnosed_faults(trace), number)


def explain_fault(trace: Trace, rows: pl.DataFrame, number: int) -> dict[str, Any] | None:
    """``explanation`` for one who has the rows of ``diagnosed_faults`` already."""
    row = rows.filter(pl.col("fault") == number)
    if row.is_empty():
        return None
    seen = row.row(0, named=True)
    fault = fault_contract(row.lazy()).collect().row(0, named=True)
    history, earlier, victims = _history(trace, rows, seen)
    return {
        "fault": fault,
        "total": len(rows),
        "same_signature": rows.filter(pl.col("signature") == seen["signature"]).height,
        "stack": call_stack(trace, seen["stack"], fault["ip"], seen["ts_ns"]),
        "allocated": _with_stack(trace, seen["birth"]) if _past(seen) else None,
        "freed": _freed(trace, seen) if _past(seen) else None,
        "history": history,
        "earlier": earlier,
        "space": _space(trace, seen),
        "victims": victims,
        "arena": _arena(trace, seen["arena"]),
        "trace": {
            "level": trace.meta.level,
            "start_ts_ns": trace.meta.start_ts_ns,
            "has_stacks": seen["stack"] is not None,
            "lost": lost(trace),
        },
    }


def _past(seen: dict[str, Any]) -> bool:
    """Whether what happened to the page before is what the fault is about."""
    return seen["cause"] in _ABOUT_THE_PAST


def _freed(trace: Trace, seen: dict[str, Any]) -> dict[str, Any] | None:
    """The free that took away what was there: one before the last mapping says nothing."""
    queued = seen["queued"] if seen["reason"] == "free-queued" else None
    free = queued or seen["death"] or seen["freed"]
    if free is None or (seen["birth"] and seen["birth"]["ts_ns"] > free["ts_ns"]):
        return None
    return _with_stack(trace, free)


def _with_stack(trace: Trace, operation: dict[str, Any] | None) -> dict[str, Any] | None:
    """``operation`` with ``stack`` as frames, ``program`` by name, ``by_user`` for a touch."""
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


def _space(trace: Trace, seen: dict[str, Any]) -> list[dict[str, Any]]:
    if seen["arena"] is None or seen["page"] is None:
        return []
    return address_space(trace, seen["arena"], (seen["ts_ns"], seen["seq"])).to_dicts()


def _arena(trace: Trace, arena: int | None) -> dict[str, Any] | None:
    if arena is None:
        return None
    rows = trace.scan("arenas").filter(pl.col("arena") == arena).collect()
    return rows.row(0, named=True) if len(rows) else None


def _history(
    trace: Trace, rows: pl.DataFrame, seen: dict[str, Any]
) -> tuple[list[dict[str, Any]], int, list[dict[str, Any]]]:
    """What happened to the page, how much of it is left out, and whom the scratch page hit."""
    if seen["arena"] is None or seen["page"] is None:
        return [], 0, []
    entries = page_story(trace, rows, seen["arena"], seen["page"], seen["ts_ns"])
    here = next(index for index, entry in enumerate(entries) if entry["fault"] == seen["fault"])
    start = max(0, min(here - HISTORY * 3 // 4, len(entries) - HISTORY))
    end = seen["end"]["ts_ns"] if seen["end"] else None
    victims = [
        entry
        for entry in entries[here + 1 :]
        if entry["what"] == DID[Op.SEGV] and (end is None or entry["ts_ns"] <= end)
    ]
    if seen["outcome"] != "scratch-installed":
        victims = []
    shown = entries[start : start + HISTORY]
    return shown, len(entries) - len(shown), victims[:VICTIMS]
