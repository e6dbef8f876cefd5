"""Make synthetic traces: random requests with the results of a kernel.

Every event is as the probes would record it. With ``jitter_ns`` the threads of a trace overlap:
the timestamp of an event is the entry or the exit of its function, before or after its effect,
so the recorded order differs from the order of effects.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace

from arenatrace.model.kernel.arena import BAND_PAGES, Arena
from arenatrace.model.kernel.nodes import Nodes
from arenatrace.model.kernel.profiles import (
    BPF_F_ARENA_MAP_ALWAYS,
    BPF_F_SEGV_ON_FAULT,
    PROFILES,
    Profile,
)
from arenatrace.model.ops import ArenaInfo
from arenatrace.model.synth.event_log import EventLog, Plan, SynthEvent
from arenatrace.model.synth.workload import Workload
from arenatrace.schema import BAND_SZ, GUARD_SZ, PAGE_SIZE

#: The machine of a synthetic trace has one NUMA node.
SYNTH_NODES = Nodes(1, frozenset({0}))

_BPF_F_MMAPABLE = 1 << 10


def random_arena(plan: Plan, index: int, rng: random.Random) -> ArenaInfo:
    """Return an arena with random size, address and flags."""
    profile = PROFILES[plan.profile]
    flags = _BPF_F_MMAPABLE
    if profile.has_map_always and rng.random() < 0.8:
        flags |= BPF_F_ARENA_MAP_ALWAYS
    if rng.random() < 0.25:
        flags |= BPF_F_SEGV_ON_FAULT
    size = rng.choice((plan.max_entries, plan.max_entries // 4, 64, 1000))
    size = max(8, min(size, plan.max_entries))
    low = rng.randrange(0, (BAND_PAGES - size)) * PAGE_SIZE
    return ArenaInfo(
        arena=index,
        max_entries=size,
        map_flags=flags,
        kern_vm_start=0xFFFF_C900_0000_8000 + index * (BAND_SZ + 16 * GUARD_SZ),
        user_vm_start=(0x7F00 + index << 32) + low,
        nodes=SYNTH_NODES,
    )


def workloads(plan: Plan, rng: random.Random, emit: Callable[[SynthEvent], None]) -> list[Workload]:
    """Return the arenas of ``plan`` before their creation."""
    profile: Profile = PROFILES[plan.profile]
    made = []
    for index in range(plan.arenas):
        info = random_arena(plan, index, rng)
        arena = Arena(profile, info.max_entries, info.map_flags)
        own = random.Random(rng.random())  # noqa: S311 -- the same for the same seed
        made.append(Workload(info, arena, own, emit))
    return made


def make(plan: Plan) -> tuple[list[ArenaInfo], Iterator[SynthEvent]]:
    """Return the arenas of ``plan`` and its events in recorded order, seq from 0."""
    rng = random.Random(plan.seed)  # noqa: S311 -- traces must be the same for the same seed
    log = EventLog(plan, rng)
    arenas = workloads(plan, rng, log.record)
    return [workload.info for workload in arenas], _events(plan, rng, log, arenas)


def _events(
    plan: Plan, rng: random.Random, log: EventLog, arenas: list[Workload]
) -> Iterator[SynthEvent]:
    for workload in arenas:
        workload.begin()
    waiting: list[SynthEvent] = []
    made = seq = 0
    while made < plan.events:
        rng.choice(arenas).step()
        fresh = log.take_events()
        made += len(fresh)
        waiting += fresh
        if len(waiting) >= 4096 and not plan.jitter_ns:
            for event in waiting:
                yield replace(event, seq=seq)
                seq += 1
            waiting = []
    for workload in arenas:
        workload.end()
    waiting += log.take_events()
    waiting.sort(key=lambda event: event.ts_ns)
    for event in waiting:
        yield replace(event, seq=seq)
        seq += 1
