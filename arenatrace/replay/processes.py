"""Replay groups of arenas in parallel processes."""

from __future__ import annotations

import gc
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from arenatrace.model.kernel.profiles import Profile
from arenatrace.model.replay.arena_replay import ArenaReplay
from arenatrace.model.replay.verdict import GroupResult, merge_results
from arenatrace.replay.encode import thread_ids
from arenatrace.replay.survey import Survey
from arenatrace.replay.trace_events import segments
from arenatrace.trace.reader import Trace, open_trace

#: Fewest events per process. A process spends most of a second on importing its libraries.
WORTH_A_PROCESS = 1_500_000


def replay_arenas(trace: Trace, survey: Survey, profile: Profile, jobs: int | None) -> GroupResult:
    """Replay every arena of ``trace`` under ``profile``, in at most ``jobs`` processes.

    ``jobs`` defaults to the number of CPUs that this process may use. This process replays the
    first group.
    """
    groups = group_arenas(survey.event_counts, jobs or len(os.sched_getaffinity(0)))
    if len(groups) < 2:
        return _replay_group(trace, survey, profile, groups[0]) if groups else GroupResult()
    # spawn: polars' threads do not survive a fork
    context = multiprocessing.get_context("spawn")
    try:
        executor = ProcessPoolExecutor(len(groups) - 1, mp_context=context)
    except OSError:
        # A container without a usable /dev/shm has no semaphores. One process is slower and
        # gives the same answer.
        return _replay_group(trace, survey, profile, sorted(survey.event_counts))
    first, *others = groups
    with executor as pool:
        path = str(trace.path)
        futures = [pool.submit(_replay_path, path, survey, profile, group) for group in others]
        own = _replay_group(trace, survey, profile, first)
        return merge_results([own, *(future.result() for future in futures)])


def group_arenas(event_counts: dict[int, int], jobs: int) -> list[list[int]]:
    """Split arenas into at most ``jobs`` groups with about the same number of events.

    A trace with few events gets fewer groups. ``event_counts`` maps each arena to its events.
    """
    total = sum(event_counts.values())
    count = max(1, min(jobs, len(event_counts), total // WORTH_A_PROCESS))
    groups: list[list[int]] = [[] for _ in range(count)]
    loads = [0] * count
    for arena, events in sorted(event_counts.items(), key=lambda item: (-item[1], item[0])):
        lightest = loads.index(min(loads))
        groups[lightest].append(arena)
        loads[lightest] += events
    return [sorted(group) for group in groups if group]


def _replay_path(path: str, survey: Survey, profile: Profile, arenas: Sequence[int]) -> GroupResult:
    """Replay a group of arenas in a child process."""
    return _replay_group(open_trace(Path(path)), survey, profile, arenas)


@contextmanager
def _cycle_collector_off() -> Iterator[None]:
    """Turn off the search for reference cycles: the model has none, and millions of objects."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _replay_group(
    trace: Trace, survey: Survey, profile: Profile, arenas: Sequence[int]
) -> GroupResult:
    result = GroupResult()
    replays = {
        arena: ArenaReplay(survey.arenas[arena], profile, result.add_divergence) for arena in arenas
    }
    with _cycle_collector_off():
        for arena, segment in segments(trace, survey, arenas):
            replays[arena].feed(segment, thread_ids(segment))
        for replay in replays.values():
            result.add_arena(replay)
    return merge_results([result])
