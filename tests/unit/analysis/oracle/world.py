"""Plain model of the pages of an arena: one page and one event at a time.

Independent of the toolkit: nothing of ``arenatrace`` is imported.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

PAGE = 4096
BAND = 1 << 32
GUARD = 32768
RACE = 1_000_000
LOSS_REACH = 5_000_000_000

Event = dict[str, Any]


@dataclass
class Page:
    """State and history of one page."""

    live: bool = False
    reserved: bool = False
    #: Event that last mapped the page.
    mapped_by: Event | None = None
    #: Time of effect, and call, of the free that last unmapped it, and of the last free.
    unmapped: tuple[int, Event] | None = None
    freed: tuple[int, Event] | None = None
    #: Time of the free that last removed a scratch page.
    cleared: int | None = None
    #: Last fault that installed the scratch page.
    installed: Event | None = None
    #: The free that removed the scratch page may have come before its install.
    is_ambiguous: bool = False
    #: Time of the last event.
    last: int | None = None
    #: Fault whose scratch page is installed.
    scratch: Event | None = None
    reserve: Event | None = None


@dataclass
class State:
    """State of an arena: its pages and its queued frees."""

    pages: dict[int, Page] = field(default_factory=dict)
    queue: list[Event] = field(default_factory=list)
    sticky: bool = False

    def page(self, number: int) -> Page:
        """Return the page of that number."""
        return self.pages.setdefault(number, Page())


@dataclass
class World:
    """A trace. Events are dicts with what, ts, seq, arena, first, count, tid and more."""

    events: list[Event]
    arenas: list[dict[str, Any]]
    level: str = "pages"
    #: User faults are not recorded.
    lacks_user_faults: bool = False
    #: Reservations or drains are not recorded.
    lacks_operations: bool = False
    has_undated_losses: bool = False
    sticky: bool = False

    def losses(self) -> list[tuple[int, int]]:
        """Return the first and last time of each loss of page operations."""
        marks = [e for e in self.events if e["what"] == "lost" and e["concerns_pages"]]
        reach = [e["ts"] - LOSS_REACH if e["since"] is None else e["since"] for e in marks]
        return [(since, e["ts"]) for since, e in zip(reach, marks, strict=True)]


def _free(state: State, event: Event, ts: int) -> None:
    for number in range(event["first"], event["first"] + event["count"]):
        page = state.page(number)
        if page.live:
            page.unmapped = (ts, event)
        page.freed = (ts, event)
        page.live = False
        page.reserved = False
        page.last = ts
        if state.sticky:
            continue
        if page.scratch is not None:
            page.cleared = ts
            # Called before the install: the drain may have come first.
            page.is_ambiguous = event["seq"] < page.scratch["seq"]
        elif page.installed is not None and event["seq"] > page.installed["seq"]:
            page.is_ambiguous = False
        page.scratch = None


def _map(state: State, page: Page, event: Event, *, new: bool) -> None:
    if new:
        page.mapped_by = event
        page.cleared = None
    page.live = True
    page.reserved = False
    page.last = event["ts"]
    if not state.sticky:
        page.scratch = None
        page.is_ambiguous = False


def step(state: State, event: Event) -> None:  # noqa: C901
    """Apply ``event`` to ``state``."""
    what = event["what"]
    if what == "alloc" and event["ok"]:
        for number in range(event["first"], event["first"] + event["count"]):
            _map(state, state.page(number), event, new=True)
    elif what == "user" and event["ok"]:
        page = state.page(event["first"])
        _map(state, page, event, new=not page.live)
    elif what == "free":
        _free(state, event, event["ts"])
    elif what == "free-later":
        state.queue.append(event)
    elif what == "drain":
        for queued in state.queue:
            _free(state, queued, event["ts"])
        state.queue = []
    elif what == "reserve" and event["ok"]:
        for number in range(event["first"], event["first"] + event["count"]):
            page = state.page(number)
            page.live = False
            page.reserved = True
            page.reserve = event
            page.last = event["ts"]
    elif what == "fault" and event["outcome"] == "scratch-installed" and in_range(event):
        page = state.page(event["page"])
        page.scratch = page.installed = event
        page.last = event["ts"]


def in_range(fault: Event) -> bool:
    """Return whether the fault lies in the user range."""
    return fault["page"] is not None and fault["page"] < fault["size"]


def has_gap(world: World, since: int | None, until: int) -> bool:
    """Return whether page operations may be lost between two times."""
    if world.has_undated_losses:
        return True
    begin = -1 if since is None else since
    return any(last > begin and first < until for first, last in world.losses())


def page_states(
    world: World, arena: int, before: tuple[int, int], size: int
) -> list[tuple[int, str, bool]]:
    """Return number, state and certainty of each page just before ``before``."""
    row = world.arenas[arena]
    if row["created"] is not None and row["created"] > before[0]:
        return []
    if row["destroyed"] is not None and row["destroyed"] < before[0]:
        return []
    state = State(sticky=world.sticky)
    for event in world.events:
        if event["arena"] == arena and (event["ts"], event["seq"]) < before:
            step(state, event)
    has_no_history = world.level == "faults"
    found = []
    for number in range(size):
        page = state.page(number)
        untouched = page.last is None
        if page.scratch is not None:
            name = "scratched"
        elif page.is_ambiguous:
            name = "unknown"
        elif page.live:
            name = "allocated"
        elif page.reserved:
            name = "reserved"
        else:
            name = "unknown" if untouched and (row["preexisting"] or has_no_history) else "free"
        since = row["created"] if untouched else page.last
        sure = name != "unknown" and not has_no_history and not has_gap(world, since, before[0])
        found.append((number, name, sure))
    return found
