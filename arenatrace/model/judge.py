"""Each event held against what the arena's state allows.

A judgement either finds nothing wrong, and the event takes effect in the model, or returns a
Contradiction, and nothing has changed: the caller may then try another order of events, or
``adopt`` what was observed as a divergence.

Some refusals have causes that leave no event (no memory, a lock that could not be had). They
are counted as unexplained, not as contradictions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from arenatrace.model.arena import BAND_PAGES, RECOVERY_PAGES, Arena, Freeness, Refusal
from arenatrace.model.ops import (
    BAD_NODE,
    BAD_PAGE,
    BLAME_OTHER,
    BLAME_OWN,
    EBUSY,
    EINVAL,
    FIXED,
    KIND,
    LOSSY,
    MISALIGNED,
    NO_PAGE,
    OK,
    RESULT_SHIFT,
    SLEEPABLE,
    UNSURE_NODE,
    WRITE,
    Segment,
)
from arenatrace.model.profiles import Touch
from arenatrace.model.pte import Pte
from arenatrace.schema import Kind, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

_REAL, _SCRATCH, _NONE, _UNKNOWN = Pte.REAL, Pte.SCRATCH, Pte.NONE, Pte.UNKNOWN
_GARBAGE = Pte.GARBAGE
_RESULT = 0xF
_RECOVERED = (0, Outcome.SCRATCH_INSTALLED, Outcome.ALREADY_MAPPED)


@dataclass(frozen=True)
class Contradiction:
    """What the model expected, what the trace has, and why both cannot be."""

    expected: str
    observed: str
    explanation: str
    #: Something that leaves no event would explain it: never a divergence by itself.
    excusable: bool = False
    #: Pages whose earlier events decide it, (first, count): (0, 0) if no order of events would
    #: make it possible, None if every event of the arena counts.
    pages: tuple[int, int] | None = (0, 0)


@dataclass
class Tally:
    """What became of the events of one arena so far."""

    events: int = 0
    unknown: int = 0
    predicted_addresses: int = 0
    #: Refusals that only a lack of memory or a failed lock explains.
    unexplained: int = 0
    #: Kernel faults whose entry another CPU filled while they were handled.
    install_races: int = 0
    #: Frees of pages that were not allocated: the program's mistake, not the trace's.
    stray_frees: int = 0
    reordered: int = 0
    #: Contradictions among so many overlapping events that their order cannot be settled.
    unsettled: int = 0
    divergences: int = 0

    def copy(self) -> Tally:
        """An independent copy."""
        return Tally(**vars(self))

    def add(self, other: Tally) -> None:
        """Add the counts of ``other``."""
        for name, count in vars(other).items():
            setattr(self, name, getattr(self, name) + count)


class Judge:
    """Judges the events of one arena; ``segment`` holds them, by position."""

    def __init__(self, arena: Arena, *, alive: bool = True) -> None:
        self.arena = arena
        self.tally = Tally()
        self.segment: Segment | None = None
        self.alive = alive
        #: Excuse what something that leaves no event would explain.
        self.lenient = False
        #: A page of this arena has been scratched: allocations must be looked at more closely.
        self.scratch_seen = False
        #: A refusal had no cause in the model, which may have moved a range among its equals.
        self.order_doubted = False
        #: profile -> (seq, sentence): what only that generation does.
        self.proofs: dict[str, tuple[int, str]] = {}

    def copy(self) -> Judge:
        """An independent copy that judges the same segment."""
        other = Judge(self.arena.copy(), alive=self.alive)
        other.tally = self.tally.copy()
        other.segment = self.segment
        other.scratch_seen = self.scratch_seen
        other.order_doubted = self.order_doubted
        other.proofs = self.proofs.copy()
        return other

    def judge(self, at: int) -> Contradiction | None:
        """Judge the event at position ``at`` of the segment."""
        segment = self.segment
        assert segment is not None  # noqa: S101 -- set before any judging
        op = segment.op[at]
        kind = op & KIND
        if op & LOSSY:
            self._lossy(kind, op, at)
            return None
        if not self.alive and kind not in _AFTER_DESTROY:
            return Contradiction(
                "no event", Kind(kind).label, "the arena had been destroyed before this event"
            )
        handler = _HANDLERS[kind]
        if handler is None:
            return None
        found = handler(self, op, segment.page[at], segment.pages[at], at)
        if found is None and kind != Kind.LOST:
            self.tally.events += 1
        return found

    def _lossy(self, kind: int, op: int, at: int) -> None:
        """An event with others missing around it: what it did is soon undone or already was."""
        if kind in _LIFE:
            _BY_KIND[Kind(kind)](self, op, NO_PAGE, 0, at)
        self.arena.forget()
        if kind != Kind.LOST:
            self.tally.events += 1
            self.tally.unknown += 1

    def prove(self, profile: str, at: int, sentence: str) -> None:
        """Remember the first event that only ``profile`` allows."""
        if profile not in self.proofs and self.segment is not None:
            self.proofs[profile] = (self.segment.seq[at], sentence)

    # ---- pages ----

    def page_alloc(self, op: int, page: int, count: int, at: int) -> Contradiction | None:
        """A page_alloc: the address it gave or the refusal."""
        if count == 0:
            return _zero_length("arena_alloc_pages()")
        if page == BAD_PAGE:
            return _bad_page("an allocation")
        if count < 0 or (page == NO_PAGE and op & (OK | FIXED)):
            self._pass()
            return None
        return self._granted(op, page, count, at) if op & OK else self._refused(op, page, count, at)

    def _granted(self, op: int, page: int, count: int, at: int) -> Contradiction | None:
        arena = self.arena
        limit = arena.max_entries
        observed = f"{_pages(page, count)} allocated"
        if op & BAD_NODE:
            return Contradiction("refused", observed, "there can be no such NUMA node")
        if op & MISALIGNED:
            return Contradiction("refused", observed, "the address asked for is not that of a page")
        if page + count > limit:
            return Contradiction(
                f"pages below {limit}", observed, "the allocation lies outside the user range"
            )
        # pages are given only where there is a user range
        arena.limit = limit
        expected = arena.place(page if op & FIXED else None, count)
        if expected == page:
            self.tally.predicted_addresses += 1
        elif expected != Refusal.UNKNOWN:
            found = self._wrong_place(expected, page, count, observed)
            if found:
                return found
        else:
            if arena.freeness(page, count) == Freeness.TAKEN:
                return self._live("", page, count, observed)
            if not arena.profile.alloc_replaces_scratch and arena.scratched(page, count) >= 0:
                return _over_scratch(page, count, observed)
            self.tally.unknown += 1
        if self.scratch_seen and arena.scratched(page, count) >= 0:
            self.prove("scratch-replace", at, f"{_pages(page, count)} allocated over scratch")
        arena.allocate(page, count)
        return None

    def _wrong_place(
        self, expected: int, page: int, count: int, observed: str
    ) -> Contradiction | None:
        arena = self.arena
        if expected == Refusal.SCRATCHED:
            return _over_scratch(page, count, observed)
        taken = arena.freeness(page, count) == Freeness.TAKEN
        if self.order_doubted and not taken:
            arena.ordered = False
            self.tally.unknown += 1
            return None
        wanted = _pages(expected, count) if expected >= 0 else "refused, no free range fits"
        if taken:
            return self._live(wanted, page, count, observed)
        return Contradiction(
            wanted,
            observed,
            "the pages were free, but best fit takes the smallest range that is large enough "
            "and of equal ranges the one that came last"
            if not arena.profile.maple
            else "the pages were free, but the lowest gap that is large enough is taken",
            pages=None,
        )

    def _live(self, wanted: str, page: int, count: int, observed: str) -> Contradiction:
        arena = self.arena
        live = [one for one in range(page, page + count) if arena.pte.get(one) == _REAL]
        if live:
            waiting = any(first <= live[0] < first + many for first, many in arena.queue)
            tail = " (its free waits for the worker)" if waiting else ""
            return Contradiction(
                wanted or "other pages",
                observed,
                f"the allocation returned a live page: page {live[0]} is in use{tail}",
                pages=(page, count),
            )
        return Contradiction(
            wanted or "other pages",
            observed,
            "the allocation returned a page that is reserved or otherwise not in the free set",
            pages=(page, count),
        )

    def _refused(self, op: int, page: int, count: int, at: int) -> Contradiction | None:
        arena = self.arena
        if op & (MISALIGNED | BAD_NODE):
            return None
        telling = op & SLEEPABLE and not op & UNSURE_NODE
        wish = page if op & FIXED else None
        expected = arena.place(wish, count)
        if expected == Refusal.UNKNOWN:
            self._pass()
            return None
        if expected == Refusal.SCRATCHED:
            target = arena.free.find(count) if wish is None else wish
            mapped = arena.scratched(target, count)
            arena.refuse_scratched(target, count, mapped, sleepable=bool(op & SLEEPABLE))
            if telling:
                said = f"{_pages(target, count)} refused because of scratch"
                self.prove("scratch-sticky", at, said)
            return None
        if expected < 0:
            return None
        if telling and self.lenient and self.scratch_seen and arena.scratched(expected, count) >= 0:
            self.prove(
                "scratch-sticky",
                at,
                f"{_pages(expected, count)} were free but scratched, and were refused",
            )
        if not self.lenient:
            return _excusable(f"{_pages(expected, count)} allocated", "refused")
        self.tally.unexplained += 1
        self.order_doubted = True
        self._pass()
        return None

    def page_free(self, op: int, page: int, count: int, at: int) -> Contradiction | None:  # noqa: ARG002
        """A page_free: nothing to compare, but it must be possible."""
        if count == 0:
            return _zero_length("arena_free_pages()")
        if page == BAD_PAGE:
            return _bad_page("a free")
        if count < 0 or page == NO_PAGE:
            self._pass()
            return None
        arena = self.arena
        if arena.limit is None:
            if page < arena.max_entries:
                arena.doubt(range(page, min(page + count, arena.max_entries)))
            self._pass()
            return None
        count = arena.clamp(page, count)
        if not count:
            return None
        if op & SLEEPABLE:
            arena.release(page, count)
        else:
            arena.defer(page, count)
        return None

    def free_drain(self, op: int, page: int, count: int, at: int) -> Contradiction | None:  # noqa: ARG002
        """The worker ran."""
        self.arena.drain()
        return None

    def page_reserve(self, op: int, page: int, count: int, at: int) -> Contradiction | None:  # noqa: ARG002, C901
        """A page_reserve: 0, -EINVAL or -EBUSY."""
        if page == BAD_PAGE:
            return _bad_page("a reservation")
        done, error = bool(op & OK), op >> RESULT_SHIFT & _RESULT
        observed = "0" if done else _ERRORS.get(error, "another error")
        if count == 0 or op & MISALIGNED:
            # arena_reserve_pages() and its caller return 0 here and do nothing
            if done:
                return None
            return Contradiction("0", observed, "there was nothing to reserve")
        if count < 0 or page == NO_PAGE:
            self._pass()
            return None
        arena = self.arena
        if arena.limit is None:
            if not done:
                self._pass()
                return None
            arena.limit = arena.max_entries
        if page + count > arena.limit:
            if error == EINVAL:
                return None
            return Contradiction("-EINVAL", observed, "the pages lie outside the user range")
        if error == EINVAL:
            return Contradiction("0 or -EBUSY", observed, "the pages lie inside the user range")
        freeness = arena.freeness(page, count)
        if done:
            if freeness == Freeness.TAKEN:
                return Contradiction(
                    "-EBUSY",
                    observed,
                    "pages were reserved that are not in the free set",
                    pages=(page, count),
                )
            if freeness == Freeness.UNKNOWN:
                self.tally.unknown += 1
            arena.reserve(page, count)
            return None
        if error == EBUSY and freeness == Freeness.TAKEN:
            return None
        if freeness == Freeness.FREE:
            if not self.lenient:
                return _excusable("0", observed)
            self.tally.unexplained += 1
            if error != EBUSY:
                arena.doubt(range(page, page + count))
        self._pass()
        return None

    # ---- faults ----

    def user_fault(self, op: int, page: int, count: int, at: int) -> Contradiction | None:  # noqa: ARG002, C901
        """A user_fault: mapped, SIGSEGV or SIGBUS."""
        if page == BAD_PAGE:
            return _bad_page("a user fault")
        arena = self.arena
        outcome = op >> RESULT_SHIFT & _RESULT
        if page == NO_PAGE or outcome not in (Outcome.MAPPED, Outcome.SIGSEGV):
            self._pass()
            return None
        if page >= arena.max_entries:
            return Contradiction(
                "no such fault", f"page {page}", "user space maps the user range only"
            )
        arena.limit = arena.max_entries
        expected = arena.user_fault(page)
        state = arena.state(page)
        if outcome == Outcome.MAPPED:
            if expected == _NONE:
                why = (
                    "user space mapped a scratched page"
                    if state == _SCRATCH
                    else f"page {page} was {state.label} and this arena does not fill it on a fault"
                )
                return Contradiction("SIGSEGV", "mapped", why, pages=(page, 1))
            if expected is None:
                self.tally.unknown += 1
            if state != _REAL:
                arena.allocate(page, 1)
            return None
        if expected == _NONE:
            return None
        if state == _REAL:
            return Contradiction("mapped", "SIGSEGV", f"page {page} was mapped", pages=(page, 1))
        if expected == _REAL:
            if not self.lenient:
                return _excusable("mapped", "SIGSEGV")
            self.tally.unexplained += 1
            self.order_doubted = True
            if arena.freeness(page, 1) != Freeness.FREE:
                arena.doubt([page])
        self._pass()
        return None

    def kernel_fault(self, op: int, page: int, count: int, at: int) -> Contradiction | None:  # noqa: ARG002
        """A kernel_fault: recovered by a scratch page, or on its way to an oops."""
        if page == BAD_PAGE:
            return _bad_page("a kernel fault")
        outcome = op >> RESULT_SHIFT & _RESULT
        recovered = outcome in _RECOVERED
        observed = Outcome(outcome).label if outcome else "recovered"
        touch = self.arena.touch
        if touch == Touch.SCRATCH:
            return self._recovering(op, page, outcome, recovered, observed, at)
        if recovered:
            self.prove("scratch", at, "a kernel-side fault was recovered")
            return Contradiction(
                "oops", observed, "a kernel without scratch pages must have oopsed here"
            )
        if touch == Touch.GARBAGE and 0 <= page < BAND_PAGES:
            return Contradiction(
                "no fault", observed, "every page of this arena's band is backed, nothing faults"
            )
        if page >= 0 and self.arena.state(page) == _REAL:
            return Contradiction("no fault", observed, f"page {page} was mapped", pages=(page, 1))
        return None

    def _recovering(  # noqa: C901 -- one branch for each answer of the handler
        self, op: int, page: int, outcome: int, recovered: bool, observed: str, at: int
    ) -> Contradiction | None:
        """A kernel fault where bpf_arena_handle_page_fault() exists."""
        arena = self.arena
        covered = 0 <= page < RECOVERY_PAGES
        if not recovered:
            if op & BLAME_OWN and covered:
                return Contradiction(
                    "recovered",
                    observed,
                    "the blamed program has this arena and the address lies in its range: the "
                    "handler must have recovered",
                )
            return None
        if op & BLAME_OTHER:
            return Contradiction(
                "oops", observed, "the blamed program has another arena: this must have oopsed"
            )
        if not covered:
            if arena.limit is None:
                self._pass()
                return None
            return Contradiction("oops", observed, "the address lies outside the range of recovery")
        state = arena.state(page)
        if state == _UNKNOWN:
            self.tally.unknown += 1
            if outcome == Outcome.SCRATCH_INSTALLED:
                self._scratch(page)
            return None
        if outcome == Outcome.SCRATCH_INSTALLED and state != _NONE:
            if not self._raced(page, at):
                what = "a mapped" if state == _REAL else "an already scratched"
                if state == _SCRATCH and not arena.profile.free_clears_scratch:
                    self.prove("scratch-replace", at, f"page {page} was scratched a second time")
                return Contradiction(
                    "no fault",
                    observed,
                    f"scratch was installed on {what} page ({page})",
                    pages=(page, 1),
                )
            self.tally.install_races += 1
            return None
        if outcome == Outcome.ALREADY_MAPPED and state == _NONE:
            return Contradiction(
                "scratch-installed", observed, f"page {page} was {state.label}", pages=(page, 1)
            )
        if state == _NONE:
            self._scratch(page)
        return None

    def _scratch(self, page: int) -> None:
        self.arena.scratch(page)
        self.scratch_seen = True

    def _raced(self, page: int, at: int) -> bool:
        """Whether another thread filled the entry just before: the compare-and-swap lost.

        The probe looks at the entry before the swap, so both then say it was empty.
        """
        segment = self.segment
        if segment is None:
            return False
        tid, earliest = segment.tid[at], segment.ts_ns[at] - RACE_WINDOW_NS
        for before in range(at - 1, -1, -1):
            if segment.ts_ns[before] < earliest:
                return False
            op, first = segment.op[before], segment.page[before]
            fills = op & KIND in _FILLING and first <= page < first + max(1, segment.pages[before])
            if fills and segment.tid[before] != tid:
                return True
        return False

    def prog_fault(self, op: int, page: int, count: int, at: int) -> Contradiction | None:  # noqa: ARG002
        """A prog_fault: the page must have been empty, and the access had no effect."""
        if page == BAD_PAGE:
            return _bad_page("a program fault")
        outcome = op >> RESULT_SHIFT & _RESULT
        due = Outcome.IGNORED if op & WRITE else Outcome.ZEROED
        if outcome not in (0, due):
            return Contradiction(
                due.label, Outcome(outcome).label, "a load gives 0 and a store is ignored"
            )
        if page == NO_PAGE:
            return None
        arena = self.arena
        state = arena.state(page)
        if state in (_REAL, _SCRATCH, _GARBAGE):
            return Contradiction(
                "no fault",
                "program fault",
                f"page {page} was {state.label}: nothing faults there",
                pages=(page, 1),
            )
        if state == _UNKNOWN:
            self.tally.unknown += 1
            if not arena.complete:
                arena.pte[page] = _NONE
        return None

    # ---- life ----

    def arena_create(self, op: int, page: int, count: int, at: int) -> Contradiction | None:  # noqa: ARG002
        """The arena came to be: everything is known of it."""
        old = self.arena
        self.arena = Arena(old.profile, old.max_entries, old.map_flags, user_range=False)
        self.arena.stray_frees = old.stray_frees
        self.alive = True
        self.order_doubted = self.scratch_seen = False
        return None

    def arena_mmap(self, op: int, page: int, count: int, at: int) -> Contradiction | None:  # noqa: ARG002
        """User space mapped the arena: its user range is fixed from here on."""
        if op & OK:
            self.arena.limit = self.arena.max_entries
        return None

    def arena_destroy(self, op: int, page: int, count: int, at: int) -> Contradiction | None:  # noqa: ARG002
        """The arena ends; only the worker may still run."""
        self.alive = False
        return None

    def lost(self, op: int, page: int, count: int, at: int) -> Contradiction | None:  # noqa: ARG002
        """Events were lost: nothing is known any more."""
        self.arena.forget()
        return None

    def _pass(self) -> None:
        self.tally.unknown += 1

    # ---- after a divergence ----

    def excuse(self, at: int) -> None:
        """Judge the event at ``at``, whose contradiction is excusable, and excuse it."""
        self.lenient = True
        self.judge(at)
        self.lenient = False

    def adopt(self, at: int, *, settled: bool = True) -> None:
        """Count the event at ``at`` as divergent; nothing is known of its pages any more.

        Not ``settled``: the order of what happened could not be found out, it is unknown.
        """
        segment = self.segment
        if segment is None:
            return
        op, page, count = segment.op[at], segment.page[at], segment.pages[at]
        self.tally.events += 1
        if settled:
            self.tally.divergences += 1
        else:
            # an order that was wrong without contradiction may have spoilt any page
            self.tally.unsettled += 1
            self.tally.unknown += 1
            self.arena.forget()
        arena = self.arena
        kind = op & KIND
        if page < 0 or page >= RECOVERY_PAGES or not self.alive:
            return
        if kind == Kind.PAGE_ALLOC and op & OK:
            if arena.ordered and not op & FIXED:
                # the model thought these free and the kernel did not: it may be wrong of them
                expected = arena.free.find(count) if count > 0 else -1
                if expected >= 0:
                    arena.doubt(range(expected, expected + count))
            arena.doubt(range(page, min(page + count, arena.max_entries)))
        elif kind == Kind.PAGE_RESERVE:
            arena.doubt(range(page, min(page + count, arena.max_entries)))
        elif kind in (Kind.USER_FAULT, Kind.KERNEL_FAULT, Kind.PROG_FAULT):
            arena.doubt([page])


#: A lost compare-and-swap is believed if the winner was seen this many ns before, or less.
RACE_WINDOW_NS = 10_000_000

_FILLING = (Kind.PAGE_ALLOC, Kind.USER_FAULT, Kind.KERNEL_FAULT)
_AFTER_DESTROY = (Kind.FREE_DRAIN, Kind.ARENA_CREATE, Kind.LOST)
_LIFE = (Kind.ARENA_CREATE, Kind.ARENA_MMAP, Kind.ARENA_DESTROY)
_ERRORS = {EINVAL: "-EINVAL", EBUSY: "-EBUSY"}

_BY_KIND = {
    Kind.ARENA_CREATE: Judge.arena_create,
    Kind.ARENA_MMAP: Judge.arena_mmap,
    Kind.ARENA_DESTROY: Judge.arena_destroy,
    Kind.PAGE_ALLOC: Judge.page_alloc,
    Kind.PAGE_FREE: Judge.page_free,
    Kind.FREE_DRAIN: Judge.free_drain,
    Kind.PAGE_RESERVE: Judge.page_reserve,
    Kind.USER_FAULT: Judge.user_fault,
    Kind.KERNEL_FAULT: Judge.kernel_fault,
    Kind.PROG_FAULT: Judge.prog_fault,
    Kind.LOST: Judge.lost,
}
_HANDLERS: list[Callable[[Judge, int, int, int, int], Contradiction | None] | None] = [
    _BY_KIND.get(Kind(code)) if code in Kind._value2member_map_ else None
    for code in range(KIND + 1)
]


def _pages(page: int, count: int) -> str:
    return f"page {page}" if count == 1 else f"pages {page} to {page + count - 1}"


def _excusable(expected: str, observed: str) -> Contradiction:
    return Contradiction(
        expected, observed, "only a lack of memory or a failed lock explains it", True, None
    )


def _zero_length(function: str) -> Contradiction:
    return Contradiction(
        "at least one page", "0 pages", f"{function} is never reached with a count of 0"
    )


def _bad_page(what: str) -> Contradiction:
    return Contradiction(
        "a page that belongs to its address",
        "an impossible page number",
        f"the page, the address and the result of {what} do not belong together",
    )


def _over_scratch(page: int, count: int, observed: str) -> Contradiction:
    return Contradiction(
        "refused (-EBUSY inside)",
        observed,
        "a page of the range is scratched, and this kernel does not allocate over scratch",
        pages=(page, count),
    )
