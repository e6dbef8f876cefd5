"""Hand-written events for tests of the model, and helpers that replay them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from arenatrace.model.kernel.profiles import PROFILES, Profile
from arenatrace.model.ops import ArenaInfo, Segment, encode
from arenatrace.model.replay.arena_replay import ArenaReplay
from arenatrace.model.replay.verdict import GroupResult
from arenatrace.model.synth.event_log import SynthEvent
from arenatrace.schema import PAGE_SIZE, Kind, Outcome

KERN = 0xFFFF_C900_0000_8000
USER = 0x7F00_1000_0000


def arena_info(**values: Any) -> ArenaInfo:
    """Return an arena of 16 pages, created during the recording."""
    defaults = {"arena": 0, "max_entries": 16, "kern_vm_start": KERN, "user_vm_start": USER}
    return ArenaInfo(**{**defaults, **values})


def segments(arenas: Iterable[ArenaInfo], events: Iterable[SynthEvent]) -> dict[int, Segment]:
    """Return the encoded events of each arena."""
    known = {info.arena: info for info in arenas}
    columns: dict[int, tuple[list[int], ...]] = {
        arena: tuple([] for _ in range(6)) for arena in known
    }
    for event in events:
        op, page, pages = encode(
            known[event.arena],
            event.kind,
            pgoff=event.pgoff,
            pages=event.pages,
            addr=event.addr,
            ret=event.ret,
            write=event.write,
            sleepable=event.sleepable,
            outcome=event.outcome,
            prog_arena=event.prog,
            node=event.node,
        )
        row = (event.ts_ns, event.seq, event.tid, op, page, pages)
        for column, value in zip(columns[event.arena], row, strict=True):
            column.append(value)
    return {arena: Segment(*column) for arena, column in columns.items()}


def replay(
    arenas: Iterable[ArenaInfo],
    events: Iterable[SynthEvent],
    profile: str | Profile = "scratch-replace",
) -> GroupResult:
    """Replay the events and return the result, with divergences by seq."""
    arenas = list(arenas)
    chosen = PROFILES[profile] if isinstance(profile, str) else profile
    result = GroupResult()
    known = {info.arena: info for info in arenas}
    for arena, segment in segments(arenas, events).items():
        one = ArenaReplay(known[arena], chosen, result.add_divergence)
        one.feed(segment)
        result.add_arena(one)
    result.divergences.sort(key=lambda divergence: divergence.seq)
    return result


class Script:
    """Events of one arena, 1 µs apart, in the thread ``tid``."""

    def __init__(self, info: ArenaInfo | None = None, *, begun: bool = True) -> None:
        self.info = info or arena_info()
        self.events: list[SynthEvent] = []
        self.tid = 1000
        self.now = 1_000_000_000
        if begun:
            self.add(Kind.ARENA_CREATE)
            self.add(Kind.ARENA_MMAP, ret=0)

    def add(self, kind: Kind, **columns: Any) -> int:
        """Append an event and return its seq."""
        self.now += 1000
        seq = len(self.events)
        defaults = {"ts_ns": self.now, "seq": seq, "tid": self.tid}
        self.events.append(SynthEvent(kind, self.info.arena, **{**defaults, **columns}))
        return seq

    def alloc(self, page: int | None, count: int = 1, *, at: bool = False, **columns: Any) -> int:
        """Append an allocation that returned ``page``, or was refused (None)."""
        ret = 0 if page is None else USER + page * PAGE_SIZE
        addr = ret if at else 0
        values = {"pgoff": page, "pages": count, "addr": addr, "ret": ret, "sleepable": True}
        values["node"] = -1
        return self.add(Kind.PAGE_ALLOC, **{**values, **columns})

    def alloc_refused_at(self, page: int, count: int = 1) -> int:
        """Append a refused allocation at ``page``."""
        return self.alloc(None, count, pgoff=page, addr=USER + page * PAGE_SIZE)

    def free(self, page: int, count: int = 1, *, sleepable: bool = True) -> int:
        """Append a free."""
        addr = USER + page * PAGE_SIZE
        return self.add(Kind.PAGE_FREE, pgoff=page, pages=count, addr=addr, sleepable=sleepable)

    def drain(self) -> int:
        """Append a run of the worker."""
        return self.add(Kind.FREE_DRAIN)

    def reserve(self, page: int, count: int = 1, ret: int = 0) -> int:
        """Append a reservation."""
        addr = USER + page * PAGE_SIZE
        return self.add(Kind.PAGE_RESERVE, pgoff=page, pages=count, addr=addr, ret=ret)

    def user(self, page: int, outcome: Outcome) -> int:
        """Append a user fault."""
        addr = USER + page * PAGE_SIZE
        return self.add(Kind.USER_FAULT, pgoff=page, addr=addr, ret=0, outcome=outcome)

    def kernel(self, page: int, outcome: Outcome, **columns: Any) -> int:
        """Append a kernel-side fault."""
        addr = KERN + (USER & 0xFFFFFFFF) + page * PAGE_SIZE + 8
        values = {"pgoff": page, "addr": addr, "outcome": outcome, "prog": self.info.arena}
        return self.add(Kind.KERNEL_FAULT, **{**values, **columns})

    def prog(self, page: int) -> int:
        """Append a program-side load fault."""
        addr = KERN + (USER & 0xFFFFFFFF) + page * PAGE_SIZE + 8
        return self.add(Kind.PROG_FAULT, pgoff=page, addr=addr, write=False, outcome=Outcome.ZEROED)

    def replay(self, profile: str | Profile = "scratch-replace") -> GroupResult:
        """Replay the events."""
        return replay([self.info], self.events, profile)

    def wrong(self, profile: str | Profile = "scratch-replace") -> list[int]:
        """Return the seq of each divergence."""
        return [divergence.seq for divergence in self.replay(profile).divergences]
