"""Traces with one known defect: what a kernel of the given generation cannot have done.

Each class is a request whose record is wrong in one way, put into an otherwise valid trace
after a pause longer than the reordering window, so that no other order of events explains it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace

from arenatrace.errors import UsageError
from arenatrace.model.arena import BAND_PAGES
from arenatrace.model.ops import ArenaFacts
from arenatrace.model.profiles import BPF_F_SEGV_ON_FAULT, PROFILES, Touch
from arenatrace.model.pte import Pte
from arenatrace.model.reorder import REORDER_WINDOW_NS
from arenatrace.model.synth import Plan, Recorder, SynthEvent, Workload, workloads
from arenatrace.schema import PAGE_SIZE, Kind, Outcome

_PAUSE_NS = 3 * REORDER_WINDOW_NS
_ANY = frozenset(PROFILES)
_SCRATCH = frozenset(name for name, one in PROFILES.items() if one.empty_touch == Touch.SCRATCH)

#: A defect: emits its wrong event last and returns True, or emits nothing it cannot take back.
Defect = Callable[[Workload], bool]


def _live_page(work: Workload) -> bool:
    """An allocation returns a page that is in use."""
    page = work.alloc(1)
    if page >= 0:
        work.alloc_event(page, 1, 0, work.uaddr(page))
    return page >= 0


def _worse_fit(work: Workload) -> bool:
    """An allocation returns free pages, but not those of the best fit."""
    by_size = work.arena.free.by_size()
    if not by_size or by_size[0][1] < 4 * by_size[-1][1]:
        return False
    # another order among equals would not explain this one
    work.alloc_event(by_size[0][0], 1, 0, work.uaddr(by_size[0][0]))
    return True


def _outside(work: Workload) -> bool:
    """An allocation returns pages behind the user range."""
    page = work.arena.max_entries
    work.alloc_event(page, 1, 0, work.uaddr(page))
    return True


def _reserved_page(work: Workload) -> bool:
    """An allocation returns a reserved page."""
    page = work.arena.place(None, 1)
    if page < 0:
        return False
    work.reserve(page, 1)
    work.alloc_event(page, 1, 0, work.uaddr(page))
    return True


def _deferred_page(work: Workload) -> bool:
    """An allocation returns a page whose free still waits for the worker."""
    page = work.alloc(1)
    if page < 0:
        return False
    work.free(page, 1, sleepable=False)
    work.alloc_event(page, 1, 0, work.uaddr(page))
    return True


def _lost_alloc(work: Workload) -> bool:
    """An allocation is missing, and the next one does not get its page."""
    # with one range left, no other order of earlier events explains it
    work.free(0, work.arena.max_entries)
    work.live.clear()
    page = work.arena.place(None, 1)
    if page < 0:
        return False
    work.arena.allocate(page, 1)
    return work.alloc(1) >= 0


def _lost_free(work: Workload) -> bool:
    """A free is missing, and its page is handed out again."""
    page = work.alloc(1)
    if page < 0:
        return False
    work.arena.release(page, 1)
    return work.alloc(1, page) >= 0


def _misaligned_alloc(work: Workload) -> bool:
    """An allocation at an address that is no page's is granted."""
    page = work.arena.place(None, 1)
    if page < 0:
        return False
    work.alloc_event(page, 1, work.uaddr(page) + 8, work.uaddr(page))
    return True


def _bad_node(work: Workload) -> bool:
    """An allocation on a NUMA node that cannot be is granted."""
    page = work.arena.place(None, 1)
    if page < 0:
        return False
    work.alloc_event(page, 1, 0, work.uaddr(page), node=-2)
    return True


def _reserve_live(work: Workload) -> bool:
    """A page in use is reserved."""
    page = work.alloc(1)
    if page >= 0:
        work.reserve_event(page, 1, 0)
    return page >= 0


def _reserve_inside(work: Workload) -> bool:
    """A reservation inside the user range is called out of range."""
    work.reserve_event(work.some_page(), 1, -22)
    return True


def _reserve_outside(work: Workload) -> bool:
    """A reservation outside the user range succeeds."""
    work.reserve_event(work.arena.max_entries, 1, 0)
    return True


def _zero_alloc(work: Workload) -> bool:
    """An allocation of no pages."""
    work.alloc_event(None, 0, 0, 0)
    return True


def _zero_free(work: Workload) -> bool:
    """A free of no pages."""
    work.free_event(work.some_page(), 0)
    return True


def _bad_page(work: Workload) -> bool:
    """A page number that no arena has."""
    page = work.some_page()
    work.event(Kind.PAGE_FREE, pgoff=BAND_PAGES + 5, pages=1, addr=work.uaddr(page), sleepable=True)
    return True


def _other_page(work: Workload) -> bool:
    """A page number that is not that of the address."""
    page = work.some_page()
    work.event(
        Kind.USER_FAULT, pgoff=page ^ 1, addr=work.uaddr(page), ret=0, outcome=Outcome.MAPPED
    )
    return True


def _scratch_over_page(work: Workload) -> bool:
    """Scratch is installed on a page in use."""
    page = work.alloc(1)
    if page >= 0:
        work.kernel_event(page, Outcome.SCRATCH_INSTALLED)
    return page >= 0


def _mapped_nowhere(work: Workload) -> bool:
    """A kernel fault finds an empty page mapped."""
    page = _empty_page(work)
    if page is not None:
        work.kernel_event(page, Outcome.ALREADY_MAPPED)
    return page is not None


def _oops_recoverable(work: Workload) -> bool:
    """A kernel fault oopses that the handler must recover."""
    page = _empty_page(work)
    if page is not None:
        work.kernel_event(page, Outcome.OOPS)
    return page is not None


def _recovered_in_guard(work: Workload) -> bool:
    """A kernel fault in the lower guard is recovered."""
    start = work.facts.kern_vm_start or 0
    work.event(
        Kind.KERNEL_FAULT,
        addr=start - 2 * PAGE_SIZE,
        write=False,
        outcome=Outcome.SCRATCH_INSTALLED,
        prog=work.facts.arena,
    )
    return True


def _recovered_early(work: Workload) -> bool:
    """A kernel fault is recovered by a kernel that has no scratch pages."""
    page = _empty_page(work, Pte.NONE, Pte.GARBAGE)
    if page is not None:
        work.kernel_event(page, Outcome.SCRATCH_INSTALLED)
    return page is not None


def _user_scratch(work: Workload) -> bool:
    """User space maps a scratched page."""
    page = _empty_page(work)
    if page is None:
        return False
    work.kernel_touch(page)
    work.user_event(page, Outcome.MAPPED)
    return True


def _user_refused(work: Workload) -> bool:
    """User space gets SIGSEGV for a page in use."""
    page = work.alloc(1)
    if page >= 0:
        work.user_event(page, Outcome.SIGSEGV)
    return page >= 0


def _user_filled(work: Workload) -> bool:
    """A user fault fills a page of an arena with BPF_F_SEGV_ON_FAULT."""
    if not work.facts.map_flags & BPF_F_SEGV_ON_FAULT:
        return False
    page = _empty_page(work, Pte.NONE, Pte.GARBAGE)
    if page is not None:
        work.user_event(page, Outcome.MAPPED)
    return page is not None


def _prog_on_page(work: Workload) -> bool:
    """A program faults on a page in use."""
    page = work.alloc(1)
    if page >= 0:
        work.prog_event(page)
    return page >= 0


def _prog_store_zeroed(work: Workload) -> bool:
    """A program's store gives 0, or its load is ignored."""
    page = _empty_page(work)
    if page is not None:
        work.prog_event(page, right=False)
    return page is not None


def _after_destroy(work: Workload) -> bool:
    """An allocation in an arena that was destroyed."""
    page = work.arena.place(None, 1)
    if page < 0:
        return False
    work.end()
    work.alloc_event(page, 1, 0, work.uaddr(page))
    return True


def _sticky_replaced(work: Workload) -> bool:
    """An allocation replaces scratch on a kernel that refuses to."""
    page = work.arena.place(None, 1)
    if page < 0 or work.arena.state(page) != Pte.NONE:
        return False
    work.kernel_touch(page)
    work.alloc_event(page, 1, 0, work.uaddr(page))
    return True


def _empty_page(work: Workload, *states: Pte) -> int | None:
    """A page that is empty beyond doubt: freed once more, whenever the worker ran before."""
    wanted = states or (Pte.NONE,)
    for _ in range(200):
        page = work.rng.randrange(work.arena.max_entries)
        if work.arena.state(page) in wanted:
            work.free(page, 1)
            return page
    return None


_NO_SCRATCH = _ANY - _SCRATCH
#: Class -> (profiles it is a defect under, what it does).
MUTATIONS: dict[str, tuple[frozenset[str], Defect]] = {
    "live-page": (_ANY, _live_page),
    "worse-fit": (_ANY, _worse_fit),
    "outside-range": (_ANY, _outside),
    "reserved-page": (_ANY, _reserved_page),
    "deferred-page": (_ANY, _deferred_page),
    "lost-alloc": (_ANY, _lost_alloc),
    "lost-free": (_ANY, _lost_free),
    "misaligned-alloc": (_ANY, _misaligned_alloc),
    "bad-node": (_ANY, _bad_node),
    "reserve-live": (_ANY, _reserve_live),
    "reserve-inside": (_ANY, _reserve_inside),
    "reserve-outside": (_ANY, _reserve_outside),
    "zero-alloc": (_ANY, _zero_alloc),
    "zero-free": (_ANY, _zero_free),
    "bad-page": (_ANY, _bad_page),
    "other-page": (_ANY, _other_page),
    "user-refused": (_ANY, _user_refused),
    "user-filled": (_ANY, _user_filled),
    "prog-on-page": (_ANY, _prog_on_page),
    "after-destroy": (_ANY, _after_destroy),
    "prog-store-zeroed": (_ANY - {"map-always"}, _prog_store_zeroed),
    "user-scratch": (_SCRATCH, _user_scratch),
    "scratch-over-page": (_SCRATCH, _scratch_over_page),
    "mapped-nowhere": (_SCRATCH, _mapped_nowhere),
    "oops-recoverable": (_SCRATCH, _oops_recoverable),
    "recovered-in-guard": (_SCRATCH, _recovered_in_guard),
    "recovered-early": (_NO_SCRATCH, _recovered_early),
    "sticky-replaced": (frozenset({"scratch-sticky"}), _sticky_replaced),
}


def mutation(name: str, profile: str) -> Defect:
    """The defect of class ``name``; UsageError if there is none or it is none under ``profile``."""
    if name not in MUTATIONS:
        raise UsageError(f"unknown mutation {name!r}", f"the classes are {', '.join(MUTATIONS)}")
    profiles, defect = MUTATIONS[name]
    if profile not in profiles:
        raise UsageError(
            f"{name} is no defect under {profile}", f"use it with {', '.join(sorted(profiles))}"
        )
    return defect


def make_mutated(plan: Plan, name: str) -> tuple[list[ArenaFacts], list[SynthEvent], int]:
    """The arenas of ``plan``, its events with one defect of class ``name``, and the seq of that.

    Raises UsageError for a class that does not exist or is no defect under the plan's profile.
    """
    defect = mutation(name, plan.profile)
    rng = random.Random(plan.seed)  # noqa: S311 -- traces must be the same for the same seed
    recorder = Recorder(plan, rng)
    arenas = workloads(plan, rng, recorder.record)
    if name == "user-filled":
        for work in arenas:
            flags = work.facts.map_flags | BPF_F_SEGV_ON_FAULT
            work.facts, work.arena.map_flags = replace(work.facts, map_flags=flags), flags
    events = list(_defective(plan, rng, recorder, arenas, defect))
    numbered = [replace(event, seq=seq) for seq, event in enumerate(events)]
    wrong = next(event.seq for event, raw in zip(numbered, events, strict=True) if raw.seq)
    return [work.facts for work in arenas], numbered, wrong


def _defective(
    plan: Plan, rng: random.Random, recorder: Recorder, arenas: list[Workload], defect: Defect
) -> Iterator[SynthEvent]:
    """The events in order; the wrong one has seq 1, the others 0."""
    for work in arenas:
        work.begin()
    made = 0
    done = False
    alive = list(arenas)
    while made < plan.events and alive:
        work = rng.choice(alive)
        if not done and made >= plan.events // 2:
            recorder.pause(_PAUSE_NS)
            done = defect(work)
            if not done:
                work.step()
            fresh = recorder.taken()
            if done:
                recorder.pause(_PAUSE_NS)
                fresh[-1] = replace(fresh[-1], seq=1)
                if any(event.kind == Kind.ARENA_DESTROY for event in fresh):
                    alive.remove(work)
        else:
            work.step()
            fresh = recorder.taken()
        made += len(fresh)
        yield from fresh
    if not done:
        raise UsageError("no place was found for the defect", "ask for more events")
    for work in alive:
        work.end()
    yield from recorder.taken()
