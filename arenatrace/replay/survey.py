"""Arenas, event counts and losses of a trace: what a replay needs before it starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from arenatrace.model.kernel.arena import BAND_PAGES
from arenatrace.model.kernel.nodes import Nodes
from arenatrace.model.ops import ArenaInfo
from arenatrace.model.replay.profile_evidence import ProfileHints
from arenatrace.schema import Kind, Outcome
from arenatrace.trace.losses import ARENA_STATE, losses
from arenatrace.trace.reader import Trace


@dataclass(frozen=True)
class Survey:
    """Result of one pass over a trace without a replay."""

    #: Every arena of the trace by index.
    arenas: dict[int, ArenaInfo]
    #: arena -> number of its events
    event_counts: dict[int, int]
    hints: ProfileHints
    #: Stretches with missing events, (from, to) in ns, in order of time.
    lossy: list[tuple[int, int]]
    #: Lost events without a known time. They put the whole trace in doubt.
    untimed_losses: int
    #: kind -> number of its events
    kinds: dict[int, int]
    #: A filter by program or cgroup dropped events of the arenas. The whole trace is in doubt.
    narrowed: bool = False


def survey_trace(trace: Trace) -> Survey:
    """Collect the arenas, event counts and losses of ``trace``.

    Raises:
        polars.exceptions.PolarsError: A file of the trace is damaged.
    """
    events = trace.scan("events")
    rows = trace.scan("arenas").collect().to_dicts()
    nodes = _nodes(trace)
    arenas = {row["arena"]: _arena_info(row, trace.meta.start_ts_ns, nodes) for row in rows}
    counts = events.group_by("arena", "kind", "outcome").len().collect()
    event_counts: dict[int, int] = {}
    kinds: dict[int, int] = {}
    faults = {Outcome.SCRATCH_INSTALLED: 0, Outcome.ALREADY_MAPPED: 0, Outcome.OOPS: 0}
    for arena, kind, outcome, count in counts.sort("arena").iter_rows():
        if arena is not None:
            event_counts[arena] = event_counts.get(arena, 0) + count
        kinds[kind] = kinds.get(kind, 0) + count
        if kind == Kind.KERNEL_FAULT and outcome in faults:
            faults[outcome] += count
    hints = ProfileHints(
        recorded=trace.meta.profile,
        features=trace.meta.features,
        map_flags=[info.map_flags for info in arenas.values()],
        recovered=faults[Outcome.SCRATCH_INSTALLED] + faults[Outcome.ALREADY_MAPPED],
        oopsed=faults[Outcome.OOPS],
    )
    for arena in event_counts:
        arenas.setdefault(arena, ArenaInfo(arena, BAND_PAGES, fresh=False, nodes=nodes))
    missing = losses(events, trace.lost, ARENA_STATE)
    # A filter drops events at any time, like a loss without a time.
    narrowed = bool(trace.meta.filters.get("program") or trace.meta.filters.get("cgroup"))
    stretches = list(missing.stretches)
    return Survey(arenas, event_counts, hints, stretches, missing.undated, kinds, narrowed)


def _nodes(trace: Trace) -> Nodes:
    meta = trace.meta
    online = None if meta.online_nodes is None else frozenset(meta.online_nodes)
    return Nodes(meta.nr_node_ids, online)


def _arena_info(row: Mapping[str, Any], start_ts_ns: int, nodes: Nodes) -> ArenaInfo:
    """Return the arena of one row of the table ``arenas``."""
    created = row["create_ts_ns"]
    # Events between a creation before the start of the recording and that start are missing.
    fresh = not row["preexisting"] and created is not None and created >= start_ts_ns
    size = row["max_entries"]
    return ArenaInfo(
        arena=row["arena"],
        max_entries=size if size and size <= BAND_PAGES else BAND_PAGES,
        map_flags=row["map_flags"] or 0,
        kern_vm_start=row["kern_vm_start"],
        user_vm_start=row["user_vm_start"] or None,
        fresh=fresh and bool(size) and size <= BAND_PAGES,
        nodes=nodes,
    )
