"""Plain diagnosis of a fault by the rules of docs/causes.md.

Every fault replays its arena from the beginning. Slow by design, and independent of the toolkit:
nothing of ``arenatrace`` is imported.
"""

from __future__ import annotations

from typing import Any

from tests.unit.analysis.oracle.world import (
    PAGE,
    RACE,
    Event,
    Page,
    State,
    World,
    has_gap,
    in_range,
    step,
)

STALL = 100_000_000
FOREVER = 1 << 62
NEAR = 8


def _near(state: State, fault: Event) -> tuple[int | None, int | None]:
    """Return bytes past the end of the live page below, and before the start of one above."""
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


def diagnose(world: World, index: int) -> dict[str, Any]:
    """Return the diagnosis of the fault that is event number ``index``."""
    fault = world.events[index]
    state = State(sticky=world.sticky)
    for event in world.events[:index]:
        if event["arena"] == fault["arena"]:
            step(state, event)
    page = state.page(fault["page"]) if in_range(fault) else Page()
    birth = (page.mapped_by["ts"], page.mapped_by["tid"]) if page.mapped_by else None
    death = (page.unmapped[0], page.unmapped[1]["tid"]) if page.unmapped else None
    later = [e for e in world.events[index + 1 :] if e["arena"] == fault["arena"]]
    cause, confidence = _cause(world, state, fault, later)
    if fault["null"] and cause != "null-page" and confidence == "certain":
        # A NULL pointer would point to the same page.
        confidence = "likely"
    unknown: dict[str, Any] = {}
    if world.level == "faults":
        unknown = {"ended_by": None, "lifetime_ns": None, "allocs_refused": None}
    if world.lacks_user_faults:
        unknown["user_sigsegv"] = None
    return {
        "cause": cause,
        "confidence": confidence,
        "birth": birth,
        "death": death,
        "near": _near(state, fault) if fault["position"] is not None else (None, None),
        **_consequences(world, state, fault, later),
        **unknown,
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
    is_old = arena["preexisting"]
    is_complete = (
        not is_old and not has_gap(world, arena["created"], now) and not world.lacks_user_faults
    )
    is_complete = is_complete and not world.lacks_operations
    if fault["null"] and page.mapped_by is None:
        return "null-page", "certain" if is_complete and world.level != "faults" else "likely"
    installs = [e for e in later if e["what"] == "fault" and e["page"] == fault["page"]]
    installs = [e for e in installs if e["outcome"] == "scratch-installed"]
    maps = [e for e in later if e["what"] in ("alloc", "user") and e["ok"]]
    maps = [e for e in maps if _covers(e, fault["page"])]
    soon_mapped = bool(maps) and maps[0]["ts"] - now <= RACE
    just_mapped = False
    if page.live and page.mapped_by is not None:
        age = now - page.mapped_by["ts"]
        may_have_stalled = (
            fault["side"] == "prog"
            and age <= STALL
            and not has_gap(world, page.mapped_by["ts"], now)
        )
        just_mapped = age <= RACE or may_have_stalled

    has_no_history = world.level == "faults"

    def confidence(since: int | None) -> str:
        return "likely" if has_no_history or has_gap(world, since, now) else "certain"

    if fault["outcome"] == "already-mapped":
        twin = page.scratch is not None and now - page.scratch["ts"] <= STALL
        twin = twin or (bool(installs) and installs[0]["ts"] - now <= RACE)
        if not twin:
            if page.live:
                return "alloc-race", confidence(page.mapped_by["ts"] if page.mapped_by else None)
            if soon_mapped:
                return "alloc-race", confidence(now)
            if page.scratch is not None:
                return "refault", confidence(page.scratch["ts"])
            return "alloc-race", "likely"
    if has_no_history:
        return "unknown", "unknown"
    if page.live:
        queued = [e for e in state.queue if _covers(e, fault["page"])]
        if queued:
            return "free-race", confidence(queued[-1]["ts"])
        if just_mapped:
            return "alloc-race", "likely"
        return "unknown", "unknown"
    if page.reserved:
        assert page.reserve is not None
        return "reserved-guard", confidence(page.reserve["ts"])
    if page.cleared is not None:
        return "refault", confidence(page.cleared)
    if page.mapped_by is not None:
        if (
            page.unmapped
            and now - page.unmapped[0] <= RACE
            and page.unmapped[1]["tid"] != fault["tid"]
        ):
            return "free-race", "likely"
        return "use-after-free", confidence(page.unmapped[0] if page.unmapped else None)

    if fault["side"] == "prog" and soon_mapped and maps[0]["tid"] != fault["tid"]:
        return "alloc-race", "likely"
    if page.freed and not is_complete:
        return "use-after-free", "likely"
    if is_old:
        return "unknown", "unknown"
    below, above = _near(state, fault)
    if (below is not None and below < PAGE) or (above is not None and above <= PAGE):
        return "out-of-bounds", "likely"
    return "never-allocated", "certain" if is_complete else "likely"


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
    queued = [e for e in state.queue if in_range(fault) and _covers(e, fault["page"])]
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
        if destroyed is None and has_gap(world, fault["ts"], FOREVER):
            return nothing
        return {**nothing, **at_destroy}
    result = dict(nothing)
    step(state, fault)
    page = state.page(fault["page"])
    for event in later:
        if event["what"] == "fault" and event["outcome"] == "scratch-installed":
            if event["page"] == fault["page"]:
                # The page was empty again for no recorded reason.
                return result
        elif event["what"] == "user" and not event["ok"] and event["first"] == fault["page"]:
            result["user_sigsegv"] += 1
        elif event["what"] == "alloc" and not event["ok"] and _covers(event, fault["page"]):
            result["allocs_refused"] += 1
        step(state, event)
        if page.scratch is not fault:
            by = "alloc" if event["what"] in ("alloc", "user") else "free"
            if has_gap(world, fault["ts"], event["ts"]):
                return result
            if was_live and queued and event["what"] == "drain":
                # The page was unmapped, so that free had been done: this drain is another one.
                return result
            return {**result, "ended_by": by, "lifetime_ns": event["ts"] - fault["ts"]}
    if has_gap(world, fault["ts"], FOREVER if destroyed is None else destroyed):
        return result
    return {**result, **at_destroy}
