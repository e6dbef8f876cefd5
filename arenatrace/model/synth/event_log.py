"""Synthetic events, with the timestamps that probes would record."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from arenatrace.model.ops import ENTRY_KINDS, FIXED_KINDS
from arenatrace.schema import Kind, Outcome, ProfileName

FIRST_TID = 1000
#: Thread of the workqueue. It runs no program.
WORKER_TID = 77
_START_NS = 1_000_000_000
_STEP_NS = 1_000


@dataclass(frozen=True)
class SynthEvent:
    """One row of the table ``events``. Members are columns; None is a null."""

    kind: Kind
    arena: int
    ts_ns: int = 0
    seq: int = 0
    tid: int = FIRST_TID
    pgoff: int | None = None
    pages: int | None = None
    addr: int | None = None
    ret: int | None = None
    write: bool | None = None
    sleepable: bool | None = None
    outcome: Outcome | None = None
    #: Index of the blamed program. Each arena has one program, with the index of the arena.
    prog: int | None = None
    node: int | None = None


@dataclass(frozen=True)
class Plan:
    """Parameters of a synthetic trace. The same plan gives the same trace.

    ``events`` is approximate. ``jitter_ns`` is the largest distance in ns between the effect of
    an event and its timestamp.
    """

    seed: int
    events: int = 10_000
    arenas: int = 2
    profile: str = ProfileName.SCRATCH_REPLACE.value
    threads: int = 1
    jitter_ns: int = 0
    #: Pages of the largest arena.
    max_entries: int = 4096


class EventLog:
    """Events with the thread ids and timestamps that probes would record."""

    def __init__(self, plan: Plan, rng: random.Random) -> None:
        self._plan = plan
        self._rng = rng
        self._now = _START_NS
        self._busy_until: dict[int, int] = {}
        self._fixed_until = _START_NS
        self._events: list[SynthEvent] = []

    def record(self, event: SynthEvent) -> None:
        """Add an event that takes effect now."""
        self._now += self._rng.randrange(_STEP_NS // 2, _STEP_NS * 2)
        jitter = self._plan.jitter_ns
        tid = event.tid
        if not jitter or event.kind in FIXED_KINDS:
            # No event overlaps the creation or the destruction of an arena.
            self._now = max(self._now, *self._busy_until.values(), 0) if jitter else self._now
            self._events.append(replace(event, ts_ns=self._now, tid=tid))
            self._now += 1
            self._fixed_until = self._now
            return
        if tid != WORKER_TID:
            tid = FIRST_TID + self._rng.randrange(self._plan.threads)
        self._now = max(self._now, self._busy_until.get(tid, 0) + 1)
        if event.kind in ENTRY_KINDS:
            earliest = self._busy_until.get(tid, _START_NS) + 1
            at = max(earliest, self._fixed_until, self._now - self._rng.randrange(jitter))
            self._busy_until[tid] = self._now
        else:
            at = self._now + self._rng.randrange(jitter)
            self._busy_until[tid] = at
        self._events.append(replace(event, ts_ns=at, tid=tid))

    def pause(self, length_ns: int) -> None:
        """Advance the clock by ``length_ns``."""
        self._now += length_ns

    def take_events(self) -> list[SynthEvent]:
        """Return the events since the last call. Their ``seq`` is not set yet."""
        events, self._events = self._events, []
        return events
