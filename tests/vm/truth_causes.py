"""The cause of every fault as the workload's own account has it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

PAGE = 4096

#: What the workload meant to do, where that alone decides.
CAUSE_OF_KIND = {
    "null": "null-page",
    "prog-null": "null-page",
    "uaf": "use-after-free",
    "uaf-deferred": "use-after-free",
    "uaf-user-mapped": "use-after-free",
    "prog-uaf": "use-after-free",
    "reserved": "reserved-guard",
    "beyond-user": "outside-user-range",
    "prog-beyond-user": "outside-user-range",
    "upper-guard": "guard-band",
    "prog-upper-guard": "guard-band",
    "after-free-over-scratch": "refault",
}


@dataclass
class _Arena:
    """Pages of one arena, as the workload knows them."""

    start: int
    live: set[int] = field(default_factory=set)
    used: set[int] = field(default_factory=set)

    def note(self, event: dict[str, Any]) -> None:
        first = (int(event["uaddr"], 16) - self.start) // PAGE
        pages = set(range(first, first + event["pages"]))
        if not event["ok"]:
            return
        if event["what"] in ("alloc", "user-map"):
            self.live |= pages
            self.used |= pages
        elif event["what"] in ("free", "free-deferred"):
            self.live -= pages

    def cause(self, page: int) -> str:
        """Of a fault on a page picked at random among those that hold nothing."""
        if page in self.used:
            return "use-after-free"
        if {page - 1, page + 1} & self.live:
            return "out-of-bounds"
        return "never-allocated"


def expected_causes(truth: dict[str, Any]) -> dict[int, str]:
    """The cause of each fault of ``truth`` by its ``seq``.

    A page that was to be one never allocated was picked at random: it may have been used and
    freed before by chance, or lie beside a live one, and the account says so.
    """
    starts = {one["map_id"]: int(one["user_vm_start"], 16) for one in truth["arenas"]}
    arenas: dict[int, _Arena] = defaultdict(lambda: _Arena(0))
    arenas.update({map_id: _Arena(start) for map_id, start in starts.items()})
    causes = {}
    for entry in sorted([*truth["events"], *truth["faults"]], key=lambda one: one["seq"]):
        arena = arenas[entry["map_id"]]
        if "what" in entry:
            arena.note(entry)
            continue
        kind = CAUSE_OF_KIND.get(entry["kind"])
        causes[entry["seq"]] = kind or arena.cause(entry["page"])
    return causes
