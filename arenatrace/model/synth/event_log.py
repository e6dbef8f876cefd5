"""Synthetic events, and the times and the order in which probes would have recorded them."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from arenatrace.model.ops import ENTRY_KINDS, FIXED_KINDS
from arenatrace.schema import Kind, Outcome, ProfileName

FIRST_TID = 1000
#: A thread of the workqueue, apart from those that run programs.
WORKER_TID = 77
_START_NS = 1_000_000_000
_STEP_NS = 1_000


@dataclass(frozen=True)
class SynthEvent:
    """One row of the table ``events``; members are its columns, None where it has none."""

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
    #: Index of the program blamed: each arena has one, of the same index.
    prog: int | None = None
    node: int | None = None


@dataclass(frozen=True)
class Plan:
    """What to make: about ``events`` events in ``arenas`` arenas, decided by ``seed``."""

    seed: int
    events: int = 10_000
    arenas: int = 2
    profile: str = ProfileName.SCRATCH_REPLACE.value
    threads: int = 1
    jitter_ns: int = 0
    #: Pages of the largest arena.
    max_entries: int = 4096


class EventLog:
    """Puts events in the order and at the times in which probes would have recorded them."""

    def __init__(self, plan: Plan, rng: random.Random) -> None:
        self._plan = plan
        self._rng = rng
        self._now = _START_NS
        self._busy_until: dict[int, int] = {}
        self._fixed_until = _START_NS
        self._events: list[SynthEvent] = []

    def record(self, event: SynthEvent) -> None:
        """An event takes effect now."""
        self._now += self._rng.randrange(_STEP_NS // 2, _STEP_NS * 2)
        jitter = self._plan.jitter_ns
        tid = event.tid
        if not jitter or event.kind in FIXED_KINDS:
            # nothing overlaps the life of an arena
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
        """Nothing happens for a while."""
        self._now += length_ns

    def take_events(self) -> list[SynthEvent]:
        """The events recorded since the last call, without seq."""
        events, self._events = self._events, []
        return events
