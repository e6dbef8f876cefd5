"""What the toolkit says of a fault beside what the oracle says, in the same words."""

from __future__ import annotations

import re
from typing import Any

_COMPARED = ("cause", "confidence", "ended_by", "lifetime_ns", "user_sigsegv", "allocs_refused")
_NEIGHBOURLY = ("never-allocated", "out-of-bounds", "outside-user-range", "reserved-guard")
#: Which free and which mapping are told as evidence, where there are any.
_FREED = ("use-after-free", "free-race")


def expected(answer: dict[str, Any]) -> dict[str, Any]:
    """Of the oracle's ``answer`` what the toolkit is to say as well."""
    wanted = {name: answer[name] for name in _COMPARED}
    if answer["cause"] in _NEIGHBOURLY:
        wanted["near"] = answer["near"]
    if answer["cause"] in _FREED and answer["birth"]:
        wanted["birth"] = answer["birth"]
        if answer["death"]:
            wanted["death"] = answer["death"]
    return wanted


def difference(row: dict[str, Any], answer: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Where a row of ``diagnosed_faults`` says something else than ``answer``: both values."""
    wanted = expected(answer)
    told = _told(row, wanted)
    return {name: (told[name], wanted[name]) for name in told if told[name] != wanted[name]}


def _told(row: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {name: row[name] for name in _COMPARED}
    if "near" in wanted:
        told["near"] = _near_of(row)
    for role in ("birth", "death"):
        if role in wanted:
            told[role] = row[role] and (row[role]["ts_ns"], row[role]["tid"])
    return told


def _near_of(row: dict[str, Any]) -> tuple[int | None, int | None]:
    text = "\n".join(row["cause_evidence"])
    below = re.search(r"(\d+) bytes past the end of a live", text)
    above = re.search(r"(\d+) bytes before the start of a live", text)
    return (int(below[1]) if below else None, int(above[1]) if above else None)
