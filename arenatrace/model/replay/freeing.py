"""page_free, free_drain and page_reserve events: arena_free_pages(), its worker, reservations."""

from __future__ import annotations

from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from arenatrace.model.replay.checker import Judge


_ERRORS = {EINVAL: "-EINVAL", EBUSY: "-EBUSY"}


def page_free(judge: Judge, op: int, page: int, count: int, _at: int) -> Contradiction | None:
    """A page_free: nothing to compare, but it must be possible."""
    if count == 0:
        return zero_length("arena_freepages_named()")
    if page == BAD_PAGE:
        return bad_page("a free")
    if count < 0 or page == NO_PAGE:
        judge.tally.unknown += 1
        return None
    arena = judge.arena
    if arena.limit is None:
        if page < arena.max_entries:
            arena.doubt(page, count)
        judge.tally.unknown += 1
        return None
    count = arena.clamp(page, count)
    if not count:
        return None
    if op & SLEEPABLE:
        arena.release(page, count)
    else:
        arena.defer(page, count)
    return None


def free_drain(judge: Judge, _op: int, _page: int, _count: int, _at: int) -> Contradiction | None:
    """The worker ran."""
    judge.arena.drain()
    return None


def page_reserve(judge: Judge, op: int, page: int, count: int, _at: int) -> Contradiction | None:  # noqa: C901
    """A page_reserve: 0, -EINVAL or -EBUSY."""
    if page == BAD_PAGE:
        return bad_page("a reservation")
    done, error = bool(op & OK), op >> RESULT_SHIFT & RESULT
    observed = "0" if done else _ERRORS.get(error, "another error")
    if count == 0 or op & MISALIGNED:
        # arena_reservepages_named() and its caller return 0 here and do nothing
        if done:
            return None
        return Contradiction("0", observed, "there was nothing to reserve")
    if count < 0 or page == NO_PAGE:
        judge.tally.unknown += 1
        return None
    arena = judge.arena
    if arena.limit is None:
        if not done:
            judge.tally.unknown += 1
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
                of_free_set=True,
            )
        if freeness == Freeness.UNKNOWN:
            judge.tally.unknown += 1
        arena.reserve(page, count)
        return None
    if error == EBUSY and freeness == Freeness.TAKEN:
        return None
    if freeness == Freeness.FREE:
        if not judge.lenient:
            return excusable("0", observed)
        judge.tally.unexplained += 1
        if error != EBUSY:
            arena.doubt(page, count)
    judge.tally.unknown += 1
    return None
