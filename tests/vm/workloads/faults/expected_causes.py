"""Expected cause and confidence of every fault, from the workload's own account.

The rules of docs/causes.md, applied to the workload's operations without code of the toolkit.
Rules that depend on time use the timestamps of the recorded events.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

PAGE = 4096
RACE_NS = 1_000_000
STALL_NS = 100_000_000

Answer = tuple[str, str]
Row = dict[str, Any]

_UNKNOWN = "unknown", "unknown"

#: Kinds of faults whose name alone decides.
OF_KIND: dict[str, Answer] = {
    "null": ("null-page", "certain"),
    "uaf": ("use-after-free", "certain"),
    "uaf-deferred": ("use-after-free", "certain"),
    "uaf-user-mapped": ("use-after-free", "certain"),
    "reserved": ("reserved-guard", "certain"),
    "overrun": ("out-of-bounds", "likely"),
    "underrun": ("out-of-bounds", "likely"),
    "beyond-user": ("outside-user-range", "certain"),
    "upper-guard": ("guard-band", "certain"),
    "lower-guard": ("guard-band", "certain"),
    "after-free-over-scratch": ("refault", "certain"),
    "late-free": ("free-race", "certain"),
}

#: Kinds on pages whose history is not recorded, by mode.
OF_PAST: dict[str, dict[str, Answer]] = {
    # The arena is older than the recording; a page with a recorded free was in use.
    "old": {
        "past-held": ("use-after-free", "likely"),
        "past-freed": _UNKNOWN,
        "past-reserved": _UNKNOWN,
        "past-untouched": _UNKNOWN,
    },
    # Events were lost afterwards: a page whose free is lost cannot have faulted.
    "lossy": {
        "past-held": _UNKNOWN,
        "past-freed": ("use-after-free", "likely"),
        "past-reserved": ("reserved-guard", "likely"),
        "past-untouched": ("never-allocated", "likely"),
    },
}


@dataclass
class _Arena:
    """Pages of one arena, from the workload's account."""

    start: int
    live: set[int] = field(default_factory=set)
    used: set[int] = field(default_factory=set)

    def note(self, event: Row) -> None:
        first = (int(event["uaddr"], 16) - self.start) // PAGE
        pages = set(range(first, first + event["pages"]))
        if not event["ok"]:
            return
        if event["what"] in ("alloc", "user-map"):
            self.live |= pages
            self.used |= pages
        elif event["what"] in ("free", "free-deferred"):
            self.live -= pages

    def cause(self, page: int) -> Answer:
        """Return the answer for a random unmapped page."""
        if page in self.used:
            return "use-after-free", "certain"
        if {page - 1, page + 1} & self.live:
            return "out-of-bounds", "likely"
        return "never-allocated", "certain"


def expected_causes(truth: Row, level: str, times: dict[int, Row]) -> dict[int, Answer]:
    """Return cause and confidence of each fault of ``truth`` by its ``seq``.

    ``times`` has ``since_ns`` by ``seq`` for faults of a race: the time between the recorded
    allocation or free of the other CPU and the fault.
    """
    starts = {one["map_id"]: int(one["user_vm_start"], 16) for one in truth["arenas"]}
    arenas: dict[int, _Arena] = defaultdict(lambda: _Arena(0))
    arenas.update({map_id: _Arena(start) for map_id, start in starts.items()})
    answers = {}
    for entry in sorted([*truth["events"], *truth["faults"]], key=lambda one: one["seq"]):
        arena = arenas[entry["map_id"]]
        if "what" in entry:
            arena.note(entry)
        elif level == "faults":
            answers[entry["seq"]] = _without_history(entry)
        else:
            since = times.get(entry["seq"], {}).get("since_ns")
            answers[entry["seq"]] = _with_history(truth["mode"], arena, entry, since)
    return answers


def _with_history(mode: str, arena: _Arena, fault: Row, since_ns: int | None) -> Answer:
    kind = fault["kind"].removeprefix("prog-")
    if kind == "free-race":
        assert since_ns is not None
        near = since_ns <= RACE_NS
        return ("free-race", "likely") if near else ("use-after-free", "certain")
    if kind == "alloc-race":
        if fault["side"] == "kernel":
            # The kernel found a filled PTE that was empty at the fault.
            return "alloc-race", "certain"
        assert since_ns is not None
        return ("alloc-race", "likely") if since_ns <= STALL_NS else _UNKNOWN
    past = OF_PAST.get(mode, {}).get(kind)
    if kind == "null" and mode in OF_PAST and fault["band"] == "user":
        # A page of an arena with an unknown history may have been in use.
        return "null-page", "likely"
    return past or OF_KIND.get(kind) or arena.cause(fault["page"])


def _without_history(fault: Row) -> Answer:
    """Answer from address and outcome: level ``faults`` records nothing else."""
    kind = fault["kind"].removeprefix("prog-")
    if kind == "null":
        return "null-page", "likely" if fault["band"] == "user" else "certain"
    if kind in ("beyond-user", "upper-guard", "lower-guard"):
        return OF_KIND[kind]
    if kind == "alloc-race" and fault["side"] == "kernel":
        return "alloc-race", "likely"
    return _UNKNOWN
