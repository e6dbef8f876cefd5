"""Causes worked out in the plainest way: every fault replays its arena from the beginning.

This is what docs/causes.md says, one page and one event at a time, without any of the
toolkit's code. Slow, and meant to be.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

PAGE = 4096
BAND = 1 << 32
GUARD = 32768
RACE = 1_000_000
STALL = 100_000_000
FOREVER = 1 << 62
LOSS_REACH = 5_000_000_000
NEAR = 8

Event = dict[str, Any]


@dataclass
class Page:
    """What is known about one page."""

    live: bool = False
    reserved: bool = False
    born: Event | None = None
    died: tuple[int, Event] | None = None
    freed: tuple[int, Event] | None = None
    cleared: int | None = None
    installed: Event | None = None
    taken_early: bool = False
    last: int | None = None
    scratch: Event | None = None
    reserve: Event | None = None
    last_queued: Event | None = None


@dataclass
class State:
    """An arena at one moment: its pages and the frees that wait."""

    pages: dict[int, Page] = field(default_factory=dict)
    queue: list[Event] = field(default_factory=list)
    sticky: bool = False

    def page(self, number: int) -> Page:
        """The page of that number."""
        return self.pages.setdefault(number, Page())


@dataclass
class World:
    """A whole trace. Events are dicts with what, ts, seq, arena, first, count, tid and more."""

    events: list[Event]
    arenas: list[dict[str, Any]]
    level: str = "pages"
    #: User faults were not recorded.
    partial: bool = False
    #: Reservations, or when deferred frees took effect, were not.
    fewer: bool = False
    unmarked: bool = False
    sticky: bool = False

    def losses(self) -> list[tuple[int, int]]:
        """First and last time of those that can concern pages."""
        marks = [e for e in self.events if e["what"] == "lost" and e["matters"]]
        reach = [e["ts"] - LOSS_REACH if e["since"] is None else e["since"] for e in marks]
        return [(since, e["ts"]) for since, e in zip(reach, marks, strict=True)]


def _free(state: State, event: Event, ts: int) -> None:
    for number in range(event["first"], event["first"] + event["count"]):
        page = state.page(number)
        if page.live:
            page.died = (ts, event)
        page.freed = (ts, event)
        page.live = False
        page.reserved = False
        page.last = ts
        if state.sticky:
            continue
        if page.scratch is not None:
            page.cleared = ts
            # Asked for before the page was scratched: it may have been done by then.
            page.taken_early = event["seq"] < page.scratch["seq"]
        elif page.installed is not None and event["seq"] > page.installed["seq"]:
            page.taken_early = False
        page.scratch = None


def _map(state: State, page: Page, event: Event, *, new: bool) -> None:
    if new:
        page.born = event
        page.cleared = None
    page.live = True
    page.reserved = False
    page.last = event["ts"]
    if not state.sticky:
        page.scratch = None
        page.taken_early = False


def step(state: State, event: Event) -> None:  # noqa: C901
    """Let ``event`` happen."""
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
        for number in range(event["first"], event["first"] + event["count"]):
            state.page(number).last_queued = event
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
    return fault["page"] is not None and fault["page"] < fault["size"]


def _gap(world: World, since: int | None, until: int) -> bool:
    if world.unmarked:
        return True
    begin = -1 if since is None else since
    return any(last > begin and first < until for first, last in world.losses())


def _near(state: State, fault: Event) -> tuple[int | None, int | None]:
    """Bytes past the end of the nearest live page below, and before the start of one above."""
    position = fault["position"]
    address = position * PAGE + fault["offset"]
    below = above = None
    for number in range(position - 1, position - NEAR - 1, -1):
        if 0 <= number < fault["size"] and state.page(number).live:
            below = address - (number + 1) * PAGE
            break
    for number in range(position + 1, position + NEAR + 1):
        if 0 <= number < fault["size"] and state.page(number).live:
            above = number * PAGE - address
            break
    return below, above


def judge(world: World, index: int) -> dict[str, Any]:
    """What is to be said about the fault that is event number ``index``."""
    fault = world.events[index]
    state = State(sticky=world.sticky)
    for event in world.events[:index]:
        if event["arena"] == fault["arena"]:
            step(state, event)
    page = state.page(fault["page"]) if in_range(fault) else Page()
    born = (page.born["ts"], page.born["tid"]) if page.born else None
    died = (page.died[0], page.died[1]["tid"]) if page.died else None
    later = [e for e in world.events[index + 1 :] if e["arena"] == fault["arena"]]
    cause, confidence = _cause(world, state, fault, later)
    if fault["null"] and cause != "null-page" and confidence == "certain":
        # A NULL pointer would reach the same page.
        confidence = "likely"
    blind: dict[str, Any] = {}
    if world.level == "faults":
        blind = {"ended_by": None, "lifetime_ns": None, "allocs_refused": None}
    if world.partial:
        blind["user_sigsegv"] = None
    return {
        "cause": cause,
        "confidence": confidence,
        "birth": born,
        "death": died,
        "near": _near(state, fault) if fault["position"] is not None else (None, None),
        **_consequences(world, state, fault, later),
        **blind,
    }


def _covers(event: Event, number: int) -> bool:
    return bool(event["first"] <= number < event["first"] + event["count"])


def _cause(  # noqa: C901
    world: World, state: State, fault: Event, later: list[Event]
) -> tuple[str, str]:
    now = fault["ts"]
    if fault["page"] is None:
        return "guard-band", "certain"
    if not in_range(fault):
        return ("null-page" if fault["null"] else "outside-user-range"), "certain"

    page = state.page(fault["page"])
    arena = world.arenas[fault["arena"]]
    old = arena["preexisting"]
    whole = not old and not _gap(world, arena["created"], now) and not world.partial
    whole = whole and not world.fewer
    if fault["null"] and page.born is None:
        return "null-page", "certain" if whole and world.level != "faults" else "likely"
    installs = [e for e in later if e["what"] == "fault" and e["page"] == fault["page"]]
    installs = [e for e in installs if e["outcome"] == "scratch-installed"]
    maps = [e for e in later if e["what"] in ("alloc", "user") and e["ok"]]
    maps = [e for e in maps if _covers(e, fault["page"])]
    soon_mapped = bool(maps) and maps[0]["ts"] - now <= RACE
    just_mapped = False
    if page.live and page.born is not None:
        age = now - page.born["ts"]
        stalled = fault["side"] == "prog" and age <= STALL and not _gap(world, page.born["ts"], now)
        just_mapped = age <= RACE or stalled

    blind = world.level == "faults"

    def sure(since: int | None) -> str:
        return "likely" if blind or _gap(world, since, now) else "certain"

    if fault["outcome"] == "already-mapped":
        twin = page.scratch is not None and now - page.scratch["ts"] <= STALL
        twin = twin or (bool(installs) and installs[0]["ts"] - now <= RACE)
        if not twin:
            if page.live:
                return "alloc-race", sure(page.born["ts"] if page.born else None)
            if soon_mapped:
                return "alloc-race", sure(now)
            if page.scratch is not None:
                return "refault", sure(page.scratch["ts"])
            return "alloc-race", "likely"
    if blind:
        return "unknown", "unknown"
    if page.live:
        waiting = [e for e in state.queue if _covers(e, fault["page"])]
        if waiting:
            return "free-race", sure(waiting[-1]["ts"])
        if just_mapped:
            return "alloc-race", "likely"
        return "unknown", "unknown"
    if page.reserved:
        assert page.reserve is not None
        return "reserved-guard", sure(page.reserve["ts"])
    if page.cleared is not None:
        return "refault", sure(page.cleared)
    if page.born is not None:
        if page.died and now - page.died[0] <= RACE and page.died[1]["tid"] != fault["tid"]:
            return "free-race", "likely"
        return "use-after-free", sure(page.died[0] if page.died else None)

    if fault["side"] == "prog" and soon_mapped and maps[0]["tid"] != fault["tid"]:
        return "alloc-race", "likely"
    if page.freed and not whole:
        return "use-after-free", "likely"
    if old:
        return "unknown", "unknown"
    below, above = _near(state, fault)
    if (below is not None and below < PAGE) or (above is not None and above <= PAGE):
        return "out-of-bounds", "likely"
    return "never-allocated", "certain" if whole else "likely"


def _consequences(  # noqa: C901
    world: World, state: State, fault: Event, later: list[Event]
) -> dict[str, Any]:
    nothing: dict[str, Any] = {
        "ended_by": None,
        "lifetime_ns": None,
        "user_sigsegv": 0,
        "allocs_refused": 0,
    }
    if fault["outcome"] != "scratch-installed":
        return nothing
    waiting = [e for e in state.queue if in_range(fault) and _covers(e, fault["page"])]
    was_live = in_range(fault) and state.page(fault["page"]).live
    destroyed = world.arenas[fault["arena"]]["destroyed"]
    if destroyed is not None and destroyed < fault["ts"]:
        destroyed = None
    at_destroy: dict[str, Any] = (
        {"ended_by": "destroy", "lifetime_ns": destroyed - fault["ts"]}
        if destroyed is not None
        else {"ended_by": "open"}
    )
    if not in_range(fault):
        if destroyed is None and _gap(world, fault["ts"], FOREVER):
            return nothing
        return {**nothing, **at_destroy}
    result = dict(nothing)
    step(state, fault)
    page = state.page(fault["page"])
    for event in later:
        if event["what"] == "fault" and event["outcome"] == "scratch-installed":
            if event["page"] == fault["page"]:
                # It was empty again, and nothing says why.
                return result
        elif event["what"] == "user" and not event["ok"] and event["first"] == fault["page"]:
            result["user_sigsegv"] += 1
        elif event["what"] == "alloc" and not event["ok"] and _covers(event, fault["page"]):
            result["allocs_refused"] += 1
        step(state, event)
        if page.scratch is not fault:
            by = "alloc" if event["what"] in ("alloc", "user") else "free"
            if _gap(world, fault["ts"], event["ts"]):
                return result
            if was_live and waiting and event["what"] == "drain":
                # The page was gone, so that free had been done: this is another drain's.
                return result
            return {**result, "ended_by": by, "lifetime_ns": event["ts"] - fault["ts"]}
    if _gap(world, fault["ts"], FOREVER if destroyed is None else destroyed):
        return result
    return {**result, **at_destroy}


def states(
    world: World, arena: int, before: tuple[int, int], size: int
) -> list[tuple[int, str, bool]]:
    """Number, state and whether that is sure, of each page just before an event."""
    facts = world.arenas[arena]
    if facts["created"] is not None and facts["created"] > before[0]:
        return []
    if facts["destroyed"] is not None and facts["destroyed"] < before[0]:
        return []
    state = State(sticky=world.sticky)
    for event in world.events:
        if event["arena"] == arena and (event["ts"], event["seq"]) < before:
            step(state, event)
    blind = world.level == "faults"
    found = []
    for number in range(size):
        page = state.page(number)
        untouched = page.last is None
        if page.scratch is not None:
            name = "scratched"
        elif page.taken_early:
            name = "unknown"
        elif page.live:
            name = "allocated"
        elif page.reserved:
            name = "reserved"
        else:
            name = "unknown" if untouched and (facts["preexisting"] or blind) else "free"
        since = facts["created"] if untouched else page.last
        sure = name != "unknown" and not blind and not _gap(world, since, before[0])
        found.append((number, name, sure))
    return found
