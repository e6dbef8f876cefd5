"""Check faults: arena_vm_fault(), bpf_arena_handle_page_fault() and program-side faults."""

from __future__ import annotations

from arenatrace.model.kernel.arena import BAND_PAGES, RECOVERY_PAGES, Freeness
from arenatrace.model.kernel.profiles import Touch
from arenatrace.model.kernel.pte import Pte
from arenatrace.model.ops import (
    BAD_PAGE,
    BLAME_OTHER,
    BLAME_OWN,
    KIND,
    NO_PAGE,
    RESULT,
    RESULT_SHIFT,
    UNPLACED,
    WRITE,
)
from arenatrace.model.replay.contradiction import Contradiction, bad_page, excusable
from arenatrace.model.replay.profile_evidence import ANY_SCRATCH
from arenatrace.model.replay.state import State
from arenatrace.schema import Kind, Outcome, ProfileName

#: Maximum ns between a lost compare-and-swap on an entry and the event that won it.
RACE_WINDOW_NS = 10_000_000

_REAL, _SCRATCH, _NONE, _UNKNOWN = Pte.REAL, Pte.SCRATCH, Pte.NONE, Pte.UNKNOWN
_GARBAGE = Pte.GARBAGE
_RECOVERED = (0, Outcome.SCRATCH_INSTALLED, Outcome.ALREADY_MAPPED)
_FILLING = (Kind.PAGE_ALLOC, Kind.USER_FAULT, Kind.KERNEL_FAULT)


def user_fault(state: State, op: int, page: int, _count: int, _at: int) -> Contradiction | None:  # noqa: C901
    """Check a user_fault: mapped, SIGSEGV or SIGBUS."""
    if page == BAD_PAGE:
        return bad_page("a user fault")
    arena = state.arena
    outcome = op >> RESULT_SHIFT & RESULT
    if page == NO_PAGE or outcome not in (Outcome.MAPPED, Outcome.SIGSEGV):
        state.tally.unknown += 1
        return None
    if page >= arena.max_entries:
        return Contradiction("no such fault", f"page {page}", "user space maps the user range only")
    arena.limit = arena.max_entries
    expected = arena.user_fault(page)
    entry = arena.state(page)
    if outcome == Outcome.MAPPED:
        if expected == _NONE:
            why = (
                "user space mapped a scratched page"
                if entry == _SCRATCH
                else f"page {page} was {entry.label} and this arena does not fill it on a fault"
            )
            return Contradiction("SIGSEGV", "mapped", why, pages=(page, 1))
        if expected is None:
            state.tally.unknown += 1
        if entry != _REAL:
            arena.allocate(page, 1)
        return None
    if expected == _NONE:
        return None
    if entry == _REAL:
        return Contradiction("mapped", "SIGSEGV", f"page {page} was mapped", pages=(page, 1))
    if expected == _REAL:
        if not state.lenient:
            return excusable("mapped", "SIGSEGV")
        state.tally.unexplained += 1
        state.order_doubted = True
        if arena.freeness(page, 1) != Freeness.FREE:
            arena.mark_unknown(page, 1)
    state.tally.unknown += 1
    return None


def kernel_fault(state: State, op: int, page: int, _count: int, at: int) -> Contradiction | None:
    """Check a kernel_fault: recovered by a scratch page, or an oops."""
    if page == BAD_PAGE:
        return bad_page("a kernel fault")
    outcome = op >> RESULT_SHIFT & RESULT
    recovered = outcome in _RECOVERED
    observed = Outcome(outcome).label if outcome else "recovered"
    touch = state.arena.touch
    if touch == Touch.SCRATCH:
        return _check_handler(state, op, page, outcome, recovered, observed, at)
    if recovered:
        state.prove(ANY_SCRATCH, at, "a kernel-side fault was recovered")
        return Contradiction(
            "oops", observed, "a kernel without scratch pages must have oopsed here"
        )
    if touch == Touch.GARBAGE and 0 <= page < BAND_PAGES:
        return Contradiction(
            "no fault", observed, "every page of this arena's band is backed, nothing faults"
        )
    if page >= 0 and state.arena.state(page) == _REAL:
        return Contradiction("no fault", observed, f"page {page} was mapped", pages=(page, 1))
    return None


def _check_handler(  # noqa: C901 -- one branch for each answer of the handler
    state: State, op: int, page: int, outcome: int, recovered: bool, observed: str, at: int
) -> Contradiction | None:
    """Check a kernel fault on a kernel with bpf_arena_handle_page_fault()."""
    arena = state.arena
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
        if arena.limit is None or page == UNPLACED:
            state.tally.unknown += 1
            return None
        return Contradiction("oops", observed, "the address is outside the range of fault recovery")
    entry = arena.state(page)
    if entry == _UNKNOWN:
        state.tally.unknown += 1
        if outcome == Outcome.SCRATCH_INSTALLED:
            _install_scratch(state, page)
        return None
    if outcome == Outcome.SCRATCH_INSTALLED and entry != _NONE:
        if not _lost_race(state, page, at):
            what = "a mapped" if entry == _REAL else "an already scratched"
            if entry == _SCRATCH and not arena.profile.free_clears_scratch:
                state.prove(
                    ProfileName.SCRATCH_REPLACE, at, f"page {page} was scratched a second time"
                )
            return Contradiction(
                "no fault",
                observed,
                f"scratch was installed on {what} page ({page})",
                pages=(page, 1),
            )
        state.tally.install_races += 1
        return None
    if outcome == Outcome.ALREADY_MAPPED and entry == _NONE:
        return Contradiction(
            "scratch-installed", observed, f"page {page} was {entry.label}", pages=(page, 1)
        )
    if entry == _NONE:
        _install_scratch(state, page)
    return None


def _install_scratch(state: State, page: int) -> None:
    state.arena.set_pte(page, _SCRATCH)
    state.scratch_seen = True


def _lost_race(state: State, page: int, at: int) -> bool:
    """Return whether another thread filled the entry just before and won the compare-and-swap.

    The probe reads the entry before the swap, so the events of both threads say it was empty.
    """
    segment = state.segment
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


def prog_fault(state: State, op: int, page: int, _count: int, _at: int) -> Contradiction | None:
    """Check a prog_fault: an access without effect to an empty page."""
    if page == BAD_PAGE:
        return bad_page("a program fault")
    outcome = op >> RESULT_SHIFT & RESULT
    expected = Outcome.IGNORED if op & WRITE else Outcome.ZEROED
    if outcome not in (0, expected):
        return Contradiction(
            expected.label, Outcome(outcome).label, "a load reads 0 and a store is ignored"
        )
    if page == NO_PAGE:
        return None
    arena = state.arena
    entry = arena.state(page)
    if entry in (_REAL, _SCRATCH, _GARBAGE):
        return Contradiction(
            "no fault",
            "program fault",
            f"page {page} was {entry.label}: nothing faults there",
            pages=(page, 1),
        )
    if entry == _UNKNOWN:
        state.tally.unknown += 1
        arena.set_pte(page, _NONE)
    return None
