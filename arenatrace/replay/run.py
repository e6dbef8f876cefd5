"""Replay a whole trace: choose the profile, spread arenas over processes, reach a verdict."""

from __future__ import annotations

import gc
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from arenatrace.model.kernel.profiles import AUTO, PROFILES, Profile, profile_named, with_maple
from arenatrace.model.replay.arena_replay import ArenaReplay, Divergence
from arenatrace.model.replay.profile_evidence import better_guess, first_guess, mixed, shown
from arenatrace.model.replay.verdict import Part, Replay, merge
from arenatrace.replay.encode import threads
from arenatrace.replay.survey import Survey, survey
from arenatrace.replay.trace_events import segments
from arenatrace.schema import Kind, Level, ProfileName
from arenatrace.trace.losses import has_probe
from arenatrace.trace.reader import Trace, open_trace

#: Fewer events than this are not worth a process, which has to import its libraries first.
WORTH_A_PROCESS = 1_500_000

#: Operations that change the state of an arena, by their key in ``PAGE_PROBES``.
_NEEDED = {
    "page allocations": "allocations",
    "page frees": "frees",
    "faults of user space": "user faults",
}


def replay_trace(trace: Trace, profile: str = AUTO, jobs: int | None = None) -> Replay:
    """Replay ``trace`` under the profile called ``profile``, or the one it proves.

    ``jobs`` is the most processes used, by default one per CPU this process may use. Raises
    UsageError for an unknown profile and what polars raises for a damaged file.
    """
    wanted = None if profile == AUTO else profile_named(profile)
    found = survey(trace)
    if wanted is not None:
        evidence = ["asked for on the command line"]
        part = _replay(trace, found, wanted, jobs)
        return _verdict(trace, found, wanted, evidence, part)
    name, evidence = first_guess(found.hints)
    chosen = PROFILES[name]
    part = _replay(trace, found, chosen, jobs)
    better = better_guess(name, part.proofs)
    if better is not None:
        evidence.append(f"replayed as {name} it proved otherwise")
        chosen = PROFILES[better]
        proofs = shown(part.proofs)
        part = _replay(trace, found, chosen, jobs)
        evidence += [line for line in proofs if line not in shown(part.proofs)]
    elif name == ProfileName.PRE_SCRATCH and part.tally.divergences:
        maple = _replay(trace, found, with_maple(chosen), jobs)
        if maple.tally.divergences < part.tally.divergences:
            chosen, part = with_maple(chosen), maple
            evidence.append("addresses follow the lowest gap: a maple tree, kernels before 6.13")
    evidence += shown(part.proofs)
    clash = mixed(found.hints, part.proofs)
    if clash is not None:
        part.divergences.append(_clash(part, *clash))
    return _verdict(trace, found, chosen, evidence, part)


def _clash(part: Part, seq: int, expected: str, observed: str, explanation: str) -> Divergence:
    same = [one for one in part.divergences if one.seq == seq]
    return Divergence(
        seq=seq,
        kind="profile",
        expected=expected,
        observed=observed,
        explanation=explanation,
        ts_ns=same[0].ts_ns if same else 0,
        arena=same[0].arena if same else 0,
        page=None,
    )


def _verdict(
    trace: Trace, found: Survey, profile: Profile, evidence: list[str], part: Part
) -> Replay:
    return Replay(
        profile.name, evidence, part.tally, part.divergences, _reasons(trace, found, part)
    )


def _reasons(trace: Trace, found: Survey, part: Part) -> list[str]:
    """Why a trace without divergences proves nothing."""
    meta = trace.meta
    reasons = []
    if meta.level == Level.FAULTS:
        reasons.append("recorded at level faults: there are no page_alloc events to replay")
    narrowed = [f"--{kind}" for kind in ("program", "cgroup") if meta.filters.get(kind)]
    if narrowed:
        reasons.append(f"recorded with {' and '.join(narrowed)}: what others did is not there")
    if meta.probes.attached:
        missing = [what for what, operation in _NEEDED.items() if not has_probe(meta, operation)]
        if missing:
            reasons.append(f"not recorded: {', '.join(missing)}")
    elif meta.level != Level.FAULTS and not found.kinds.get(Kind.PAGE_ALLOC) and _faults(found):
        reasons.append("there are faults but no page_alloc events to replay")
    if found.untimed_losses:
        reasons.append(f"{found.untimed_losses} event(s) were lost at times not known")
    elif found.lossy:
        reasons.append("events were lost: what happened meanwhile is unknown")
    if part.tally.unsettled:
        reasons.append(
            f"{part.tally.unsettled} event(s) among overlapping threads fit no order that was found"
        )
    return reasons or _vacuous(part)


def _vacuous(part: Part) -> list[str]:
    """Why a trace that lacks nothing proves nothing all the same."""
    if not part.tally.events:
        return ["no event of an arena is in it: there is nothing to replay"]
    if part.tally.unknown == part.tally.events:
        return ["nothing is known of any arena: they are all older than the trace"]
    return []


def _faults(found: Survey) -> int:
    return found.kinds.get(Kind.KERNEL_FAULT, 0) + found.kinds.get(Kind.PROG_FAULT, 0)


def _replay(trace: Trace, found: Survey, profile: Profile, jobs: int | None) -> Part:
    groups = grouped(found.sizes, jobs or len(os.sched_getaffinity(0)))
    if len(groups) < 2:
        return _group(trace, found, profile, groups[0]) if groups else Part()
    # spawn: polars' threads do not survive a fork
    context = multiprocessing.get_context("spawn")
    try:
        executor = ProcessPoolExecutor(len(groups) - 1, mp_context=context)
    except OSError:
        # no semaphores, as in a container without a usable /dev/shm: slower, the same answer
        return _group(trace, found, profile, sorted(found.sizes))
    mine, *others = groups
    with executor as pool:
        path = str(trace.path)
        theirs = [pool.submit(_group_of_path, path, found, profile, group) for group in others]
        return merge([_group(trace, found, profile, mine), *(one.result() for one in theirs)])


def grouped(sizes: dict[int, int], jobs: int) -> list[list[int]]:
    """Arenas in at most ``jobs`` groups of about as many events, few where events are few."""
    count = max(1, min(jobs, len(sizes), sum(sizes.values()) // WORTH_A_PROCESS))
    groups: list[list[int]] = [[] for _ in range(count)]
    loads = [0] * count
    for arena, size in sorted(sizes.items(), key=lambda item: (-item[1], item[0])):
        lightest = loads.index(min(loads))
        groups[lightest].append(arena)
        loads[lightest] += size
    return [sorted(group) for group in groups if group]


def _group_of_path(path: str, found: Survey, profile: Profile, arenas: Sequence[int]) -> Part:
    return _group(open_trace(Path(path)), found, profile, arenas)


@contextmanager
def _no_garbage() -> Iterator[None]:
    """No search for cycles meanwhile: there are none in the model, and millions of objects."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _group(trace: Trace, found: Survey, profile: Profile, arenas: Sequence[int]) -> Part:
    part = Part()
    replays = {arena: ArenaReplay(found.facts[arena], profile, part.keep) for arena in arenas}
    with _no_garbage():
        for arena, segment in segments(trace, found, arenas):
            replays[arena].feed(segment, threads(segment))
        for replay in replays.values():
            part.close(replay)
    return merge([part])
