"""Check page_alloc events: the result of arena_alloc_pages()."""

from __future__ import annotations

from arenatrace.model.kernel.arena import Freeness, Refusal
from arenatrace.model.kernel.pte import Pte
from arenatrace.model.ops import (
    BAD_NODE,
    BAD_PAGE,
    FIXED,
    MISALIGNED,
    NO_PAGE,
    OK,
    SLEEPABLE,
    UNSURE_NODE,
)
from arenatrace.model.replay.contradiction import (
    Contradiction,
    bad_page,
    excusable,
    over_scratch,
    page_range_text,
    zero_length,
)
from arenatrace.model.replay.state import State
from arenatrace.schema import ProfileName


def page_alloc(state: State, op: int, page: int, count: int, at: int) -> Contradiction | None:
    """Check a page_alloc: its address, or its refusal."""
    if count == 0:
        return zero_length("arena_alloc_pages()")
    if page == BAD_PAGE:
        return bad_page("an allocation")
    if count < 0 or (page == NO_PAGE and op & (OK | FIXED)):
        state.tally.unknown += 1
        return None
    return _granted(state, op, page, count, at) if op & OK else _refused(state, op, page, count, at)


def _granted(state: State, op: int, page: int, count: int, at: int) -> Contradiction | None:
    arena = state.arena
    limit = arena.max_entries
    observed = f"{page_range_text(page, count)} allocated"
    if op & BAD_NODE:
        return Contradiction("refused", observed, "this NUMA node cannot exist")
    if op & MISALIGNED:
        return Contradiction("refused", observed, "the requested address is not page-aligned")
    if page + count > limit:
        return Contradiction(
            f"pages below {limit}", observed, "the allocation lies outside the user range"
        )
    # An allocation succeeds only after the user range is fixed.
    arena.limit = limit
    expected = arena.find_pages(page if op & FIXED else None, count)
    if expected == page:
        state.tally.predicted_addresses += 1
    elif expected != Refusal.UNKNOWN:
        found = _check_other_pages(state, expected, page, count, observed)
        if found:
            return found
    else:
        if arena.freeness(page, count) == Freeness.TAKEN:
            return _not_free(state, "", page, count, observed)
        if not arena.profile.alloc_replaces_scratch and arena.scratched(page, count) >= 0:
            return over_scratch(page, count, observed)
        state.tally.unknown += 1
    if state.scratch_seen and arena.scratched(page, count) >= 0:
        state.prove(
            ProfileName.SCRATCH_REPLACE,
            at,
            f"{page_range_text(page, count)} allocated over scratch",
        )
    arena.allocate(page, count)
    return None


def _check_other_pages(
    state: State, expected: int, page: int, count: int, observed: str
) -> Contradiction | None:
    arena = state.arena
    if expected == Refusal.SCRATCHED and arena.scratched(page, count) >= 0:
        return over_scratch(page, count, observed)
    taken = arena.freeness(page, count) == Freeness.TAKEN
    if state.order_doubted and not taken:
        arena.free.lose_order()
        state.tally.unknown += 1
        return None
    wanted = page_range_text(expected, count) if expected >= 0 else _REFUSED[expected]
    if taken:
        return _not_free(state, wanted, page, count, observed)
    return Contradiction(
        wanted,
        observed,
        "the pages were free, but best fit takes the smallest range that is large enough, "
        "and among equal ranges the one inserted last"
        if not arena.profile.maple
        else "the pages were free, but this kernel takes the lowest gap that is large enough",
        pages=None,
    )


def _not_free(state: State, wanted: str, page: int, count: int, observed: str) -> Contradiction:
    arena = state.arena
    live = arena.pte.find(Pte.REAL, page, page + count)
    if live >= 0:
        waiting = any(first <= live < first + many for first, many in arena.queue)
        tail = " (its free waits for the worker)" if waiting else ""
        return Contradiction(
            wanted or "other pages",
            observed,
            f"the allocation returned a live page: page {live} is in use{tail}",
            pages=(page, count),
            of_free_set=True,
        )
    return Contradiction(
        wanted or "other pages",
        observed,
        "the allocation returned a page that is reserved or otherwise not in the free set",
        pages=(page, count),
        of_free_set=True,
    )


def _refused(state: State, op: int, page: int, count: int, at: int) -> Contradiction | None:
    arena = state.arena
    if op & (MISALIGNED | BAD_NODE):
        return None
    # A caller that cannot sleep may have failed to take a lock, and a node may be offline.
    is_proof = op & SLEEPABLE and not op & UNSURE_NODE
    requested = page if op & FIXED else None
    expected = arena.find_pages(requested, count)
    if expected == Refusal.UNKNOWN:
        arena.refuse_unseen(sleepable=bool(op & SLEEPABLE))
        state.tally.unknown += 1
        return None
    if expected == Refusal.SCRATCHED:
        target = arena.free.find(count) if requested is None else requested
        mapped = arena.scratched(target, count)
        arena.refuse_scratched(target, count, mapped, sleepable=bool(op & SLEEPABLE))
        if is_proof:
            sentence = f"{page_range_text(target, count)} refused because of scratch"
            state.prove(ProfileName.SCRATCH_STICKY, at, sentence)
        return None
    if expected < 0:
        return None
    if is_proof and state.lenient and state.scratch_seen and arena.scratched(expected, count) >= 0:
        state.prove(
            ProfileName.SCRATCH_STICKY,
            at,
            f"{page_range_text(expected, count)} were free but scratched, and were refused",
        )
    if not state.lenient:
        return excusable(f"{page_range_text(expected, count)} allocated", "refused")
    state.tally.unexplained += 1
    state.order_doubted = True
    state.tally.unknown += 1
    return None


_REFUSED: dict[int, str] = {
    Refusal.NO_ROOM: "refused, no free range fits",
    Refusal.IMPOSSIBLE: "refused, the user range is too small",
    Refusal.TAKEN: "refused, the pages are not free",
    Refusal.SCRATCHED: "refused, the best fit is scratched (-EBUSY inside)",
}
