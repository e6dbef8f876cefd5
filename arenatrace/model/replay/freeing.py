"""Check page_free, free_drain and page_reserve events.

They record arena_free_pages(), arena_free_worker() and arena_reserve_pages().
"""

from __future__ import annotations

from arenatrace.model.kernel.arena import Freeness
from arenatrace.model.ops import (
    BAD_PAGE,
    EBUSY,
    EINVAL,
    MISALIGNED,
    NO_PAGE,
    OK,
    RESULT,
    RESULT_SHIFT,
    SLEEPABLE,
)
from arenatrace.model.replay.contradiction import Contradiction, bad_page, excusable, zero_length
from arenatrace.model.replay.state import State

_ERRORS = {EINVAL: "-EINVAL", EBUSY: "-EBUSY"}


def page_free(state: State, op: int, page: int, count: int, _at: int) -> Contradiction | None:
    """Check a page_free: it has no result, but its pages must be possible."""
    if count == 0:
        return zero_length("arena_free_pages()")
    if page == BAD_PAGE:
        return bad_page("a free")
    if count < 0 or page == NO_PAGE:
        state.tally.unknown += 1
        return None
    arena = state.arena
    if arena.limit is None:
        if page < arena.max_entries:
            arena.mark_unknown(page, count)
        state.tally.unknown += 1
        return None
    count = arena.clamp(page, count)
    if not count:
        return None
    if op & SLEEPABLE:
        arena.release(page, count)
    else:
        arena.defer(page, count)
    return None


def free_drain(state: State, _op: int, _page: int, _count: int, _at: int) -> Contradiction | None:
    """Run the worker over the deferred frees."""
    state.arena.drain()
    return None


def page_reserve(state: State, op: int, page: int, count: int, _at: int) -> Contradiction | None:  # noqa: C901
    """Check a page_reserve: 0, -EINVAL or -EBUSY."""
    if page == BAD_PAGE:
        return bad_page("a reservation")
    done, error = bool(op & OK), op >> RESULT_SHIFT & RESULT
    observed = "0" if done else _ERRORS.get(error, "another error")
    if count == 0 or op & MISALIGNED:
        # arena_reserve_pages() and its caller return 0 here and change nothing.
        if done:
            return None
        return Contradiction("0", observed, "the request covers no page")
    if count < 0 or page == NO_PAGE:
        state.tally.unknown += 1
        return None
    arena = state.arena
    if arena.limit is None:
        if not done:
            state.tally.unknown += 1
            return None
        arena.limit = arena.max_entries
    if page + count > arena.limit:
        if error == EINVAL:
            return None
        return Contradiction("-EINVAL", observed, "the pages are outside the user range")
    if error == EINVAL:
        return Contradiction("0 or -EBUSY", observed, "the pages are inside the user range")
    freeness = arena.freeness(page, count)
    if done:
        if freeness == Freeness.TAKEN:
            return Contradiction(
                "-EBUSY",
                observed,
                "pages were reserved that are not in the free set",
                pages=(page, count),
                of_free_set=True,
            )
        if freeness == Freeness.UNKNOWN:
            state.tally.unknown += 1
        arena.reserve(page, count)
        return None
    if error == EBUSY and freeness == Freeness.TAKEN:
        return None
    if freeness == Freeness.FREE:
        if not state.lenient:
            return excusable("0", observed)
        state.tally.unexplained += 1
        if error != EBUSY:
            arena.mark_unknown(page, count)
    state.tally.unknown += 1
    return None
