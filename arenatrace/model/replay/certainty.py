"""Decide whether a contradiction is a divergence where threads overlap.

Two threads that access one page at the same time leave it in one of two states, and the trace
does not show which one. The contradiction may come much later. It is a divergence only if no
order allowed by ``may_swap`` explains it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import compress, islice, pairwise

from arenatrace.model.ops import (
    ALLOC_ANYWHERE,
    ALLOC_AT,
    FREE_LATER,
    FREE_NOW,
    KIND,
    PROG_LOAD,
    PROG_STORE,
    RESERVED,
    SCRATCHED,
    USER_MAPPED,
    Segment,
)
from arenatrace.model.replay.contradiction import Contradiction
from arenatrace.model.replay.reorder import REORDER_WINDOW_NS, may_swap
from arenatrace.schema import Kind

#: Positions before and after a contradiction whose events may belong on its other side.
_BEFORE, _AFTER = 96, 24

_DRAIN = int(Kind.FREE_DRAIN)


class Threads:
    """Whether events of two threads other than the worker have overlapped in an arena."""

    def __init__(self) -> None:
        self.overlapped = False
        self._seen: set[int] = set()
        self._workers: set[int] = set()

    def expect(self, tids: Iterable[int]) -> None:
        """Announce threads that later segments may contain."""
        self._seen.update(tids)

    def look(self, segment: Segment) -> None:
        """Update ``overlapped`` from ``segment``."""
        if self.overlapped or len(self._seen - self._workers) < 2:
            return
        if len(set(segment.tid) - self._workers) < 2:
            return
        drains = [op & KIND == _DRAIN for op in segment.op]
        self._workers.update(compress(segment.tid, drains))
        if len(set(segment.tid) - self._workers) < 2:
            return
        others = [at for at, drain in enumerate(drains) if not drain]
        self.overlapped = any(may_swap(segment, one, two) for one, two in pairwise(others))


def is_certain(
    segment: Segment, order: list[int], at: int, found: Contradiction, *, overlapped: bool
) -> bool:
    """Return whether ``found`` at position ``at`` of ``order`` is a divergence.

    ``overlapped`` says whether threads have overlapped in this arena so far.
    """
    if found.pages == (0, 0):
        return True
    bad = order[at]
    near = order[max(0, at - _BEFORE) : at + _AFTER]
    if found.pages is None:
        return not overlapped and not any(_may_swap(segment, one, bad) for one in near)
    first, count = found.pages
    later = (
        one for one in islice(order, at + 1, at + _AFTER) if _touches(segment, one, *found.pages)
    )
    if any(_may_swap(segment, one, bad) for one in later):
        return False
    history = (one for one in reversed(order[:at]) if _touches(segment, one, first, count))
    later_events: list[int] = []
    certain = _has_one_order(segment, bad, history, found, later_events)
    if certain is None:
        certain = not overlapped
    return certain and not any(
        _drain_matters(segment, order, at, one)
        for one in later_events
        if segment.op[one] == FREE_LATER
    )


def _has_one_order(
    segment: Segment,
    bad: int,
    history: Iterable[int],
    found: Contradiction,
    later_events: list[int],
) -> bool | None:
    """Return whether the events on the pages have one possible order.

    ``history`` has these events, latest first. The last event that determines the state of the
    pages makes earlier ones irrelevant; the events after it are appended to ``later_events``.
    None if no event of ``history`` determines the state.
    """
    decided = None
    for one in history:
        if decided is None:
            if any(_may_swap(segment, one, other) for other in (bad, *later_events)):
                return False
            if _determines(segment, one, found):
                decided = one
            else:
                later_events.append(one)
        elif segment.ts_ns[decided] - segment.ts_ns[one] > REORDER_WINDOW_NS:
            return True
        elif _may_swap(segment, one, decided) and not (
            # The order of two events that leave the same state is irrelevant.
            segment.op[one] == segment.op[decided] and _determines(segment, one, found)
        ):
            return False
    return None if decided is None else True


def _may_swap(segment: Segment, one: int, two: int) -> bool:
    return one != two and may_swap(segment, min(one, two), max(one, two))


def _touches(segment: Segment, index: int, first: int, count: int) -> bool:
    page = segment.page[index]
    return page < first + count and first < page + max(1, segment.pages[index]) and page >= 0


#: Ops after which the freeness of their pages is known, and ops after which the entries are.
_SET_FREENESS = frozenset({ALLOC_ANYWHERE, ALLOC_AT, FREE_NOW, RESERVED, USER_MAPPED})
_SET_ENTRY = frozenset(
    {ALLOC_ANYWHERE, ALLOC_AT, FREE_NOW, USER_MAPPED, SCRATCHED, PROG_LOAD, PROG_STORE}
)


def _determines(segment: Segment, index: int, found: Contradiction) -> bool:
    """Return whether the event fixes the state that ``found`` depends on."""
    if segment.op[index] not in (_SET_FREENESS if found.of_free_set else _SET_ENTRY):
        return False
    first, count = found.pages or (0, 0)
    page = segment.page[index]
    return page <= first and first + count <= page + max(1, segment.pages[index])


def _drain_matters(segment: Segment, order: list[int], at: int, free: int) -> bool:
    """Return whether the worker may have run before or after a relevant deferred free."""
    return any(
        _may_swap(segment, one, free) or _may_swap(segment, one, order[at])
        for one in _drains(segment, order, at)
    )


def _drains(segment: Segment, order: list[int], at: int) -> Iterator[int]:
    return (one for one in order[: at + _AFTER] if segment.op[one] & KIND == _DRAIN)
