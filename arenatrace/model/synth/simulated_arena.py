"""Simulated arena: the kernel's result for each request, and the event that records it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from arenatrace.model.kernel.arena import BAND_PAGES, Arena, Freeness, Refusal
from arenatrace.model.kernel.nodes import NUMA_NO_NODE
from arenatrace.model.kernel.profiles import Touch
from arenatrace.model.kernel.pte import Pte
from arenatrace.model.ops import ArenaInfo
from arenatrace.model.synth.event_log import WORKER_TID, SynthEvent
from arenatrace.schema import PAGE_SIZE, Kind, Outcome

_VM_FAULT_SIGSEGV = 0x40
_EINVAL, _EBUSY = 22, 16
_LOW32 = 0xFFFFFFFF


@dataclass
class SimulatedArena:
    """One arena and its requests. ``emit`` gets each event, in order of effect."""

    info: ArenaInfo
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
        """Run the worker a last time and destroy the arena."""
        self.drain()
        self.event(Kind.ARENA_DESTROY, tid=WORKER_TID)

    def event(self, kind: Kind, **columns: object) -> None:
        """Record an event of this arena."""
        self.emit(SynthEvent(kind, self.info.arena, **columns))  # type: ignore[arg-type]

    def uaddr(self, page: int) -> int:
        """Return the user address of a page."""
        return (self.info.user_vm_start or 0) + page * PAGE_SIZE

    def kaddr(self, page: int) -> int:
        """Return a random kernel address in a page."""
        start = self.info.kern_vm_start or 0
        inside = self.rng.randrange(PAGE_SIZE // 8) * 8
        if page >= BAND_PAGES:
            return start + page * PAGE_SIZE + inside
        return start + ((self.uaddr(page)) & _LOW32) + inside

    def alloc(self, count: int, requested: int | None = None, *, sleepable: bool = True) -> int:
        """Allocate ``count`` pages; return the first page, or a Refusal."""
        page = self.arena.find_pages(requested, count)
        requested_addr = 0 if requested is None else self.uaddr(requested)
        if page == Refusal.SCRATCHED:
            target = self.arena.free.find(count) if requested is None else requested
            mapped = self.arena.scratched(target, count)
            if mapped:
                self.free_event(target, mapped, sleepable=sleepable)
                if not sleepable:
                    self.arena.defer(target, mapped)
            self.arena.refuse_scratched(target, count, mapped, sleepable=sleepable)
        if page < 0:
            self.alloc_event(requested, count, requested_addr, 0, sleepable=sleepable)
            return page
        self.arena.allocate(page, count)
        self.live.append((page, count))
        self.alloc_event(page, count, requested_addr, self.uaddr(page), sleepable=sleepable)
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
        """Free any pages."""
        self.free_event(page, count, sleepable=sleepable)
        covered = self.arena.clamp(page, count)
        if covered and sleepable:
            self.arena.release(page, covered)
        elif covered:
            self.arena.defer(page, covered)

    def free_event(self, page: int, count: int, *, sleepable: bool = True) -> None:
        """Record a page_free."""
        self.event(
            Kind.PAGE_FREE, pgoff=page, pages=count, addr=self.uaddr(page), sleepable=sleepable
        )

    def drain(self) -> None:
        """Run the worker."""
        self.event(Kind.FREE_DRAIN, tid=WORKER_TID)
        self.arena.drain()

    def reserve(self, page: int, count: int, shift: int = 0) -> None:
        """Reserve pages, at an address ``shift`` bytes past the page."""
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
        """Access a page from user space that has not mapped it."""
        result = self.arena.user_fault(page)
        if result == Pte.REAL and self.arena.state(page) != Pte.REAL:
            self.arena.allocate(page, 1)
            self.live.append((page, 1))
        self.user_event(page, Outcome.MAPPED if result == Pte.REAL else Outcome.SIGSEGV)

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
        """Access a page from the kernel. An access that does not fault gives no event."""
        arena = self.arena
        if arena.state(page) != Pte.NONE:
            return
        if arena.touch == Touch.SCRATCH:
            arena.set_pte(page, Pte.SCRATCH)
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
            # Kernels without scratch pages do not blame a program.
            prog=self.info.arena if self.arena.touch == Touch.SCRATCH else None,
        )

    def prog_touch(self, page: int) -> None:
        """Access a page from a program. An access that does not fault gives no event."""
        if self.arena.state(page) == Pte.NONE:
            self.prog_event(page)

    def prog_event(self, page: int, *, right: bool = True) -> None:
        """Record a prog_fault. Unless ``right``, a load gets a store's outcome or vice versa."""
        write = self.rng.random() < 0.5
        self.event(
            Kind.PROG_FAULT,
            pgoff=page if page < BAND_PAGES else None,
            addr=self.kaddr(page),
            write=write,
            outcome=Outcome.IGNORED if write == right else Outcome.ZEROED,
            prog=self.info.arena,
        )
