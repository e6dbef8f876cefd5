"""Comparison of diagnosed faults with the oracle."""

from __future__ import annotations

import re
from typing import Any

_COMPARED = ("cause", "confidence", "ended_by", "lifetime_ns", "user_sigsegv", "allocs_refused")
_HAS_NEIGHBOURS = ("never-allocated", "out-of-bounds", "outside-user-range", "reserved-guard")
#: Causes whose evidence names the free and the mapping.
_HAS_FREE = ("use-after-free", "free-race")


def _expected(answer: dict[str, Any]) -> dict[str, Any]:
    """Return the part of the oracle's ``answer`` that the toolkit must repeat."""
    wanted = {name: answer[name] for name in _COMPARED}
    if answer["cause"] in _HAS_NEIGHBOURS:
        wanted["near"] = answer["near"]
    if answer["cause"] in _HAS_FREE and answer["birth"]:
        wanted["birth"] = answer["birth"]
        if answer["death"]:
            wanted["death"] = answer["death"]
    return wanted


def difference(row: dict[str, Any], answer: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return (found, expected) of each member where a row of ``diagnosed_faults`` differs."""
    wanted = _expected(answer)
    found = _found(row, wanted)
    return {name: (found[name], wanted[name]) for name in found if found[name] != wanted[name]}


def _found(row: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {name: row[name] for name in _COMPARED}
    if "near" in wanted:
        found["near"] = _near_of(row)
    for role in ("birth", "death"):
        if role in wanted:
            found[role] = row[role] and (row[role]["ts_ns"], row[role]["tid"])
    return found


def _near_of(row: dict[str, Any]) -> tuple[int | None, int | None]:
    text = "\n".join(row["cause_evidence"])
    below = re.search(r"(\d+) bytes past the end of a live", text)
    above = re.search(r"(\d+) bytes before the start of a live", text)
    return (int(below[1]) if below else None, int(above[1]) if above else None)
