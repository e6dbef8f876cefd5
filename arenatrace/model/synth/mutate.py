"""Synthetic traces with one known defect: an event that is impossible under the profile.

The defect is one wrong event in an otherwise valid trace. It comes after a pause longer than
the reorder window, so that no other order of events explains it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace

from arenatrace.errors import UsageError
from arenatrace.model.kernel.profiles import BPF_F_SEGV_ON_FAULT, PROFILES, Touch
from arenatrace.model.ops import ArenaInfo
from arenatrace.model.replay.reorder import REORDER_WINDOW_NS
from arenatrace.model.synth import fault_defects as faults
from arenatrace.model.synth import page_defects as pages
from arenatrace.model.synth.event_log import EventLog, Plan, SynthEvent
from arenatrace.model.synth.synthesize import workloads
from arenatrace.model.synth.workload import Workload
from arenatrace.schema import Kind, ProfileName

_PAUSE_NS = 3 * REORDER_WINDOW_NS
_ANY = frozenset(PROFILES)
_SCRATCH = frozenset(name for name, one in PROFILES.items() if one.empty_touch == Touch.SCRATCH)

#: A defect: emits its wrong event last and returns True, or emits only valid events.
Defect = Callable[[Workload], bool]


_NO_SCRATCH = _ANY - _SCRATCH
#: Class -> (profiles under which it is a defect, the defect).
MUTATIONS: dict[str, tuple[frozenset[str], Defect]] = {
    "live-page": (_ANY, pages.live_page),
    "worse-fit": (_ANY, pages.worse_fit),
    "outside-range": (_ANY, pages.outside),
    "reserved-page": (_ANY, pages.reserved_page),
    "deferred-page": (_ANY, pages.deferred_page),
    "lost-alloc": (_ANY, pages.lost_alloc),
    "lost-free": (_ANY, pages.lost_free),
    "misaligned-alloc": (_ANY, pages.misaligned_alloc),
    "bad-node": (_ANY, pages.bad_node),
    "reserve-live": (_ANY, pages.reserve_live),
    "reserve-inside": (_ANY, pages.reserve_inside),
    "reserve-outside": (_ANY, pages.reserve_outside),
    "zero-alloc": (_ANY, pages.zero_alloc),
    "zero-free": (_ANY, pages.zero_free),
    "bad-page": (_ANY, pages.bad_page),
    "other-page": (_ANY, faults.other_page),
    "user-refused": (_ANY, faults.user_refused),
    "user-filled": (_ANY, faults.user_filled),
    "prog-on-page": (_ANY, faults.prog_on_page),
    "after-destroy": (_ANY, pages.after_destroy),
    "prog-store-zeroed": (_ANY - {ProfileName.MAP_ALWAYS}, faults.prog_store_zeroed),
    "user-scratch": (_SCRATCH, faults.user_scratch),
    "scratch-over-page": (_SCRATCH, faults.scratch_over_page),
    "mapped-nowhere": (_SCRATCH, faults.mapped_nowhere),
    "oops-recoverable": (_SCRATCH, faults.oops_recoverable),
    "recovered-in-guard": (_SCRATCH, faults.recovered_in_guard),
    "recovered-early": (_NO_SCRATCH, faults.recovered_early),
    "sticky-replaced": (frozenset({ProfileName.SCRATCH_STICKY}), faults.sticky_replaced),
}


def defect_named(name: str, profile: str) -> Defect:
    """Return the defect of class ``name``.

    Raises:
        UsageError: No class has this name, or it is valid behaviour under ``profile``.
    """
    if name not in MUTATIONS:
        raise UsageError(f"unknown mutation {name!r}", f"the classes are {', '.join(MUTATIONS)}")
    profiles, defect = MUTATIONS[name]
    if profile not in profiles:
        raise UsageError(
            f"{name} is no defect under {profile}", f"use it with {', '.join(sorted(profiles))}"
        )
    return defect


def make_mutated(plan: Plan, name: str) -> tuple[list[ArenaInfo], list[SynthEvent], int]:
    """Return the arenas of ``plan``, its events with one defect, and the defect's seq.

    Raises:
        UsageError: No class is called ``name``, it is no defect under the plan's profile, or
            the trace is too short for it.
    """
    defect = defect_named(name, plan.profile)
    rng = random.Random(plan.seed)  # noqa: S311 -- traces must be the same for the same seed
    log = EventLog(plan, rng)
    arenas = workloads(plan, rng, log.record)
    if name == "user-filled":
        for work in arenas:
            flags = work.info.map_flags | BPF_F_SEGV_ON_FAULT
            work.info, work.arena.map_flags = replace(work.info, map_flags=flags), flags
    events = list(_defective(plan, rng, log, arenas, defect))
    numbered = [replace(event, seq=seq) for seq, event in enumerate(events)]
    wrong = next(event.seq for event, raw in zip(numbered, events, strict=True) if raw.seq)
    return [work.info for work in arenas], numbered, wrong


def _defective(
    plan: Plan, rng: random.Random, log: EventLog, arenas: list[Workload], defect: Defect
) -> Iterator[SynthEvent]:
    """Yield the events in order. The wrong event has seq 1, the others 0."""
    for work in arenas:
        work.begin()
    made = 0
    done = False
    alive = list(arenas)
    while made < plan.events and alive:
        work = rng.choice(alive)
        if not done and made >= plan.events // 2:
            log.pause(_PAUSE_NS)
            done = defect(work)
            if not done:
                work.step()
            fresh = log.take_events()
            if done:
                log.pause(_PAUSE_NS)
                fresh[-1] = replace(fresh[-1], seq=1)
                if any(event.kind == Kind.ARENA_DESTROY for event in fresh):
                    alive.remove(work)
        else:
            work.step()
            fresh = log.take_events()
        made += len(fresh)
        yield from fresh
    if not done:
        raise UsageError("the trace has no suitable state for the defect", "ask for more events")
    for work in alive:
        work.end()
    yield from log.take_events()
