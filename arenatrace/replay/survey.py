"""Arenas, event counts and losses of a trace: what a replay needs before it starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from arenatrace.model import ops
from arenatrace.model.kernel.arena import BAND_PAGES
from arenatrace.model.kernel.nodes import Nodes
from arenatrace.model.replay.profile_evidence import Hints
from arenatrace.schema import Kind, Outcome
from arenatrace.trace.losses import ARENA_STATE, losses
from arenatrace.trace.reader import Trace


@dataclass(frozen=True)
class Survey:
    """What a look over the trace, without replaying it, gives."""

    facts: dict[int, ops.ArenaFacts]
    #: arena -> events
    sizes: dict[int, int]
    hints: Hints
    #: Times between which events are missing, (from, to) in ns, in order.
    lossy: list[tuple[int, int]]
    #: Losses nothing says the time of: the whole trace is in doubt.
    untimed_losses: int
    kinds: dict[int, int]
    #: A filter left out part of what happens to an arena: the whole trace is in doubt.
    narrowed: bool = False


def survey(trace: Trace) -> Survey:
    """Collect what must be known before replaying. Read errors are polars errors."""
    events = trace.scan("events")
    arenas = trace.scan("arenas").collect()
    nodes = _nodes(trace)
    facts = {row["arena"]: _facts(row, trace.meta.start_ts_ns, nodes) for row in arenas.to_dicts()}
    counts = events.group_by("arena", "kind", "outcome").len().collect()
    known: dict[int, int] = {}
    by_kind: dict[int, int] = {}
    faults = {Outcome.SCRATCH_INSTALLED: 0, Outcome.ALREADY_MAPPED: 0, Outcome.OOPS: 0}
    for arena, kind, outcome, count in counts.sort("arena").iter_rows():
        if arena is not None:
            known[arena] = known.get(arena, 0) + count
        by_kind[kind] = by_kind.get(kind, 0) + count
        if kind == Kind.KERNEL_FAULT and outcome in faults:
            faults[outcome] += count
    hints = Hints(
        recorded=trace.meta.profile,
        features=trace.meta.features,
        map_flags=[fact.map_flags for fact in facts.values()],
        recovered=faults[Outcome.SCRATCH_INSTALLED] + faults[Outcome.ALREADY_MAPPED],
        oopsed=faults[Outcome.OOPS],
    )
    for arena in known:
        facts.setdefault(arena, ops.ArenaFacts(arena, BAND_PAGES, fresh=False, nodes=nodes))
    missing = losses(events, trace.lost, ARENA_STATE)
    # what a filter by program or cgroup left out is as good as lost, at any time
    narrowed = bool(trace.meta.filters.get("program") or trace.meta.filters.get("cgroup"))
    stretches = list(missing.stretches)
    return Survey(facts, known, hints, stretches, missing.undated, by_kind, narrowed)


def _nodes(trace: Trace) -> Nodes:
    meta = trace.meta
    online = None if meta.online_nodes is None else frozenset(meta.online_nodes)
    return Nodes(meta.nr_node_ids, online)


def _facts(row: Mapping[str, Any], start_ts_ns: int, nodes: Nodes) -> ops.ArenaFacts:
    created = row["create_ts_ns"]
    # a creation before the start was told by someone else: what came between is missing
    fresh = not row["preexisting"] and created is not None and created >= start_ts_ns
    size = row["max_entries"]
    return ops.ArenaFacts(
        arena=row["arena"],
        max_entries=size if size and size <= BAND_PAGES else BAND_PAGES,
        map_flags=row["map_flags"] or 0,
        kern_vm_start=row["kern_vm_start"],
        user_vm_start=row["user_vm_start"] or None,
        fresh=fresh and bool(size) and size <= BAND_PAGES,
        nodes=nodes,
    )
