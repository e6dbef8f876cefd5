"""Traces that the model makes: random requests, answered as a kernel would.

Every event is what the probes would have recorded. With ``jitter_ns`` the threads of a trace
overlap: events are recorded at their function's entry or exit, some time before or after they
took effect, so the recorded order is not the order of the effects.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from arenatrace.model.arena import BAND_PAGES, RECOVERY_PAGES, Arena, Freeness, Refusal
from arenatrace.model.nodes import NUMA_NO_NODE, Nodes
from arenatrace.model.ops import ENTRY_KINDS, FIXED_KINDS, ArenaFacts
from arenatrace.model.profiles import (
    BPF_F_ARENA_MAP_ALWAYS,
    BPF_F_SEGV_ON_FAULT,
    PROFILES,
    Profile,
    Touch,
)
from arenatrace.model.pte import Pte
from arenatrace.schema import BAND_SZ, GUARD_SZ, PAGE_SIZE, Kind, Outcome

#: The machine of a synthetic trace has one node.
SYNTH_NODES = Nodes(1, frozenset({0}))

_BPF_F_MMAPABLE = 1 << 10
_VM_FAULT_SIGSEGV = 0x40
_EINVAL, _EBUSY = 22, 16
_LOW32 = 0xFFFFFFFF
_FIRST_TID = 1000
#: Threads of the workqueue, apart from those that run programs.
_WORKER_TID = 77
_START_NS = 1_000_000_000
_STEP_NS = 1_000


@dataclass(frozen=True)
class SynthEvent:
    """One row of the table ``events``; members are its columns, None where it has none."""

    kind: Kind
    arena: int
    ts_ns: int = 0
    seq: int = 0
    tid: int = _FIRST_TID
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
    profile: str = "scratch-replace"
    threads: int = 1
    jitter_ns: int = 0
    #: Pages of the largest arena.
    max_entries: int = 4096


@dataclass
class Workload:
    """One arena under random requests. ``emit`` is called with each event, in order of effect."""

    facts: ArenaFacts
    arena: Arena
    rng: random.Random
    emit: Callable[[SynthEvent], None]
    live: list[tuple[int, int]] = field(default_factory=list)
    scratched: list[int] = field(default_factory=list)
    reserved: list[tuple[int, int]] = field(default_factory=list)

    def begin(self) -> None:
        """Create the arena and map it."""
        self.event(Kind.ARENA_CREATE)
        self.event(Kind.ARENA_MMAP, ret=0)

    def end(self) -> None:
        """Let the worker run a last time and destroy the arena."""
        self.drain()
        self.event(Kind.ARENA_DESTROY, tid=_WORKER_TID)

    def step(self) -> None:
        """One random request."""
        self.rng.choices(_REQUESTS, _WEIGHTS)[0](self)

    # ---- what the kernel answers ----

    def event(self, kind: Kind, **columns: object) -> None:
        """Record an event of this arena."""
        self.emit(SynthEvent(kind, self.facts.arena, **columns))  # type: ignore[arg-type]

    def uaddr(self, page: int) -> int:
        """User address of an arena page."""
        return (self.facts.user_vm_start or 0) + page * PAGE_SIZE

    def kaddr(self, page: int) -> int:
        """Kernel address somewhere in an arena page."""
        start = self.facts.kern_vm_start or 0
        inside = self.rng.randrange(PAGE_SIZE // 8) * 8
        if page >= BAND_PAGES:
            return start + page * PAGE_SIZE + inside
        return start + ((self.uaddr(page)) & _LOW32) + inside

    def alloc(self, count: int, wish: int | None = None, *, sleepable: bool = True) -> int:
        """An allocation; its first page, or a Refusal."""
        page = self.arena.place(wish, count)
        wished = 0 if wish is None else self.uaddr(wish)
        if page == Refusal.SCRATCHED:
            target = self.arena.free.find(count) if wish is None else wish
            mapped = self.arena.scratched(target, count)
            if mapped:
                self.free_event(target, mapped, sleepable=sleepable)
                if not sleepable:
                    self.arena.defer(target, mapped)
            self.arena.refuse_scratched(target, count, mapped, sleepable=sleepable)
        if page < 0:
            self.alloc_event(wish, count, wished, 0, sleepable=sleepable)
            return page
        self.arena.allocate(page, count)
        self.live.append((page, count))
        self.alloc_event(page, count, wished, self.uaddr(page), sleepable=sleepable)
        return page

    def alloc_event(
        self,
        page: int | None,
        count: int,
        addr: int,
        ret: int,
        *,
        sleepable: bool = True,
        node: int = NUMA_NO_NODE,
    ) -> None:
        """Record a page_alloc."""
        self.event(
            Kind.PAGE_ALLOC,
            pgoff=page,
            pages=count,
            addr=addr,
            ret=ret,
            sleepable=sleepable,
            node=node,
        )

    def free(self, page: int, count: int, *, sleepable: bool = True) -> None:
        """A free of any pages."""
        self.free_event(page, count, sleepable=sleepable)
        reached = self.arena.clamp(page, count)
        if reached and sleepable:
            self.arena.release(page, reached)
        elif reached:
            self.arena.defer(page, reached)

    def free_event(self, page: int, count: int, *, sleepable: bool = True) -> None:
        """Record a page_free."""
        self.event(
            Kind.PAGE_FREE, pgoff=page, pages=count, addr=self.uaddr(page), sleepable=sleepable
        )

    def drain(self) -> None:
        """The worker runs."""
        self.event(Kind.FREE_DRAIN, tid=_WORKER_TID)
        self.arena.drain()

    def reserve(self, page: int, count: int, shift: int = 0) -> None:
        """A reservation, ``shift`` bytes off the page."""
        if shift:
            ret = 0
        elif page + count > self.arena.max_entries:
            ret = -_EINVAL
        elif self.arena.freeness(page, count) != Freeness.FREE:
            ret = -_EBUSY
        else:
            ret = 0
            self.arena.reserve(page, count)
            self.reserved.append((page, count))
        self.reserve_event(page, count, ret, shift)

    def reserve_event(self, page: int, count: int, ret: int, shift: int = 0) -> None:
        """Record a page_reserve."""
        self.event(
            Kind.PAGE_RESERVE, pgoff=page, pages=count, addr=self.uaddr(page) + shift, ret=ret
        )

    def user_touch(self, page: int) -> None:
        """User space touches a page it has not mapped yet."""
        answer = self.arena.user_fault(page)
        if answer == Pte.REAL and self.arena.state(page) != Pte.REAL:
            self.arena.allocate(page, 1)
            self.live.append((page, 1))
        self.user_event(page, Outcome.MAPPED if answer == Pte.REAL else Outcome.SIGSEGV)

    def user_event(self, page: int, outcome: Outcome) -> None:
        """Record a user_fault."""
        self.event(
            Kind.USER_FAULT,
            pgoff=page,
            addr=self.uaddr(page),
            ret=0 if outcome == Outcome.MAPPED else _VM_FAULT_SIGSEGV,
            write=self.rng.random() < 0.5,
            outcome=outcome,
        )

    def kernel_touch(self, page: int) -> None:
        """The kernel touches a page; no event if nothing faults."""
        arena = self.arena
        if arena.state(page) != Pte.NONE:
            return
        if arena.touch == Touch.SCRATCH:
            arena.note(page, Pte.SCRATCH)
            self.scratched.append(page)
            self.kernel_event(page, Outcome.SCRATCH_INSTALLED)
        else:
            self.kernel_event(page, Outcome.OOPS)

    def kernel_event(self, page: int, outcome: Outcome, addr: int | None = None) -> None:
        """Record a kernel_fault."""
        self.event(
            Kind.KERNEL_FAULT,
            pgoff=page if page < BAND_PAGES else None,
            addr=self.kaddr(page) if addr is None else addr,
            write=self.rng.random() < 0.5,
            outcome=outcome,
            # kernels without scratch pages do not ask whose fault it is
            prog=self.facts.arena if self.arena.touch == Touch.SCRATCH else None,
        )

    def prog_touch(self, page: int) -> None:
        """A program touches a page; no event if nothing faults."""
        if self.arena.state(page) == Pte.NONE:
            self.prog_event(page)

    def prog_event(self, page: int, *, right: bool = True) -> None:
        """Record a prog_fault; not ``right``: with the other access's outcome."""
        write = self.rng.random() < 0.5
        self.event(
            Kind.PROG_FAULT,
            pgoff=page if page < BAND_PAGES else None,
            addr=self.kaddr(page),
            write=write,
            outcome=Outcome.IGNORED if write == right else Outcome.ZEROED,
            prog=self.facts.arena,
        )

    # ---- random requests ----

    def some_count(self) -> int:
        """A number of pages: mostly few."""
        return self.rng.choice((1, 1, 1, 1, 2, 2, 3, 4, 7, 8, 16, 33, 64))

    def some_page(self) -> int:
        """A page of the user range, as often as not one that was used before."""
        known = self.rng.choice((self.live, self.reserved, ()))
        if known:
            first, count = self.rng.choice(known[-64:])
            return first + self.rng.randrange(count)
        if self.scratched and self.rng.random() < 0.3:
            page = self.rng.choice(self.scratched[-64:])
            if page < self.arena.max_entries:
                return page
        return self.rng.randrange(self.arena.max_entries)

    def take_live(self) -> tuple[int, int] | None:
        """An allocation to free, or part of one."""
        if not self.live:
            return None
        at = self.rng.randrange(len(self.live))
        self.live[at], self.live[-1] = self.live[-1], self.live[at]
        return self.live.pop()

    def try_alloc(self) -> None:
        """Allocate anywhere; make room when there is too much in use."""
        if len(self.live) > 40 and self.rng.random() < len(self.live) / 400:
            self.try_free()
            return
        self.alloc(self.some_count(), sleepable=self.rng.random() < 0.7)

    def try_alloc_at(self) -> None:
        """Allocate at an address, possible or not."""
        if self.rng.random() < 0.1:
            page, count = self.some_page(), self.some_count()
            self.alloc_event(page, count, self.uaddr(page) + 8, 0)
        else:
            top = self.arena.max_entries + 4
            page = self.some_page() if self.rng.random() < 0.8 else self.rng.randrange(top)
            self.alloc(self.some_count(), page)

    def try_too_many(self) -> None:
        """Allocate more than the arena can ever give."""
        self.alloc(self.arena.max_entries + self.rng.randrange(1, 5))

    def try_bad_node(self) -> None:
        """Allocate on a NUMA node that cannot be."""
        self.alloc_event(None, self.some_count(), 0, 0, node=self.rng.choice((-2, 1, 1000)))

    def try_free(self) -> None:
        """Free an allocation, all of it or a part, and possibly more than it."""
        found = self.take_live()
        if found is None:
            return
        page, count = found
        cut = self.rng.random()
        if cut < 0.15 and count > 1:
            head = self.rng.randrange(1, count)
            self.live.append((page + head, count - head))
            count = head
        elif cut < 0.25:
            count += self.rng.randrange(1, 4)
        self.free(page, count, sleepable=self.rng.random() < 0.7)

    def try_free_any(self) -> None:
        """Free pages whoever they belong to."""
        self.free(self.some_page(), self.some_count(), sleepable=self.rng.random() < 0.7)

    def try_drain(self) -> None:
        """The worker runs, mostly because there is something to do."""
        if self.arena.queue or self.rng.random() < 0.05:
            self.drain()

    def try_reserve(self) -> None:
        """Reserve pages, possible or not."""
        kind = self.rng.random()
        if kind < 0.1:
            self.reserve(self.some_page(), 1, shift=16)
        elif kind < 0.2:
            self.reserve(self.arena.max_entries - 1, 2 + self.rng.randrange(3))
        else:
            self.reserve(self.some_page(), self.rng.choice((1, 1, 2, 5)))

    def try_user_touch(self) -> None:
        """User space touches any page."""
        self.user_touch(self.some_page())

    def try_kernel_touch(self) -> None:
        """The kernel touches any page, of the user range or not."""
        self.kernel_touch(self._anywhere())

    def try_prog_touch(self) -> None:
        """A program touches any page, of the user range or not."""
        self.prog_touch(self._anywhere())

    def _anywhere(self) -> int:
        if self.rng.random() < 0.05:
            return self.rng.randrange(BAND_PAGES - 8, RECOVERY_PAGES)
        return self.some_page()


_REQUESTS: tuple[Callable[[Workload], None], ...] = (
    Workload.try_alloc,
    Workload.try_alloc_at,
    Workload.try_too_many,
    Workload.try_bad_node,
    Workload.try_free,
    Workload.try_free_any,
    Workload.try_drain,
    Workload.try_reserve,
    Workload.try_user_touch,
    Workload.try_kernel_touch,
    Workload.try_prog_touch,
)
_WEIGHTS = (34, 6, 1, 1, 25, 4, 8, 4, 6, 6, 6)


def arena_facts(plan: Plan, index: int, rng: random.Random) -> ArenaFacts:
    """An arena of random size, place and flags."""
    profile = PROFILES[plan.profile]
    flags = _BPF_F_MMAPABLE
    if profile.has_map_always and rng.random() < 0.8:
        flags |= BPF_F_ARENA_MAP_ALWAYS
    if rng.random() < 0.25:
        flags |= BPF_F_SEGV_ON_FAULT
    size = rng.choice((plan.max_entries, plan.max_entries // 4, 64, 1000))
    size = max(8, min(size, plan.max_entries))
    low = rng.randrange(0, (BAND_PAGES - size)) * PAGE_SIZE
    return ArenaFacts(
        arena=index,
        max_entries=size,
        map_flags=flags,
        kern_vm_start=0xFFFF_C900_0000_8000 + index * (BAND_SZ + 16 * GUARD_SZ),
        user_vm_start=(0x7F00 + index << 32) + low,
        nodes=SYNTH_NODES,
    )


class Recorder:
    """Puts events in the order and at the times in which probes would have recorded them."""

    def __init__(self, plan: Plan, rng: random.Random) -> None:
        self._plan = plan
        self._rng = rng
        self._now = _START_NS
        self._busy_until: dict[int, int] = {}
        self._fixed_until = _START_NS
        self._held: list[SynthEvent] = []

    def record(self, event: SynthEvent) -> None:
        """An event takes effect now."""
        self._now += self._rng.randrange(_STEP_NS // 2, _STEP_NS * 2)
        jitter = self._plan.jitter_ns
        tid = event.tid
        if not jitter or event.kind in FIXED_KINDS:
            # nothing overlaps the life of an arena
            self._now = max(self._now, *self._busy_until.values(), 0) if jitter else self._now
            self._held.append(replace(event, ts_ns=self._now, tid=tid))
            self._now += 1
            self._fixed_until = self._now
            return
        if tid != _WORKER_TID:
            tid = _FIRST_TID + self._rng.randrange(self._plan.threads)
        self._now = max(self._now, self._busy_until.get(tid, 0) + 1)
        if event.kind in ENTRY_KINDS:
            earliest = self._busy_until.get(tid, _START_NS) + 1
            at = max(earliest, self._fixed_until, self._now - self._rng.randrange(jitter))
            self._busy_until[tid] = self._now
        else:
            at = self._now + self._rng.randrange(jitter)
            self._busy_until[tid] = at
        self._held.append(replace(event, ts_ns=at, tid=tid))

    def pause(self, length_ns: int) -> None:
        """Nothing happens for a while."""
        self._now += length_ns

    def taken(self) -> list[SynthEvent]:
        """The events recorded since the last call, without seq."""
        held, self._held = self._held, []
        return held


def workloads(plan: Plan, rng: random.Random, emit: Callable[[SynthEvent], None]) -> list[Workload]:
    """The arenas of ``plan``, not yet begun."""
    profile: Profile = PROFILES[plan.profile]
    made = []
    for index in range(plan.arenas):
        facts = arena_facts(plan, index, rng)
        arena = Arena(profile, facts.max_entries, facts.map_flags)
        own = random.Random(rng.random())  # noqa: S311 -- the same for the same seed
        made.append(Workload(facts, arena, own, emit))
    return made


def make(plan: Plan) -> tuple[list[ArenaFacts], Iterator[SynthEvent]]:
    """The arenas of ``plan`` and its events in recorded order, seq from 0."""
    rng = random.Random(plan.seed)  # noqa: S311 -- traces must be the same for the same seed
    recorder = Recorder(plan, rng)
    arenas = workloads(plan, rng, recorder.record)
    return [workload.facts for workload in arenas], _events(plan, rng, recorder, arenas)


def _events(
    plan: Plan, rng: random.Random, recorder: Recorder, arenas: list[Workload]
) -> Iterator[SynthEvent]:
    for workload in arenas:
        workload.begin()
    waiting: list[SynthEvent] = []
    made = seq = 0
    while made < plan.events:
        rng.choice(arenas).step()
        fresh = recorder.taken()
        made += len(fresh)
        waiting += fresh
        if len(waiting) >= 4096 and not plan.jitter_ns:
            for event in waiting:
                yield replace(event, seq=seq)
                seq += 1
            waiting = []
    for workload in arenas:
        workload.end()
    waiting += recorder.taken()
    waiting.sort(key=lambda event: event.ts_ns)
    for event in waiting:
        yield replace(event, seq=seq)
        seq += 1
