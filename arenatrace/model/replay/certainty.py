"""Whether a contradiction proves anything, where threads overlap.

An order of events that was wrong need not show at once: two threads that touched one page at
the same time leave it in this state or in that, and nothing in the trace says which. Only what
no order allowed by ``may_swap`` explains is called a divergence.
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

#: Positions around a contradiction in which an event may belong behind or before it.
_BEFORE, _AFTER = 96, 24

_DRAIN = int(Kind.FREE_DRAIN)


class Threads:
    """Whether events of two threads, the worker apart, have overlapped in an arena."""

    def __init__(self) -> None:
        self.overlapped = False
        self._seen: set[int] = set()
        self._workers: set[int] = set()

    def expect(self, tids: Iterable[int]) -> None:
        """Segments to ``look`` at may have events of these threads from now on."""
        self._seen.update(tids)

    def look(self, segment: Segment) -> None:
        """Take ``segment`` into account."""
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
    """Whether ``found``, of the event at position ``at`` of ``order``, is a divergence.

    ``overlapped``: threads have overlapped in this arena at some time.
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
    told: list[int] = []
    certain = _has_one_order(segment, bad, history, found, told)
    if certain is None:
        certain = not overlapped
    return certain and not any(
        _drain_matters(segment, order, at, one) for one in told if segment.op[one] == FREE_LATER
    )


def _has_one_order(
    segment: Segment, bad: int, history: Iterable[int], found: Contradiction, told: list[int]
) -> bool | None:
    """Whether the events on the pages, the latest first, can only have been in this order.

    Nothing before the last event that determines the pages' state matters: ``told`` are those
    behind it. None if that event is not to be seen.
    """
    decided = None
    for one in history:
        if decided is None:
            if any(_may_swap(segment, one, other) for other in (bad, *told)):
                return False
            if _determines(segment, one, found):
                decided = one
            else:
                told.append(one)
        elif segment.ts_ns[decided] - segment.ts_ns[one] > REORDER_WINDOW_NS:
            return True
        elif _may_swap(segment, one, decided) and not (
            # of two that leave the same state behind it does not matter which was first
            segment.op[one] == segment.op[decided] and _determines(segment, one, found)
        ):
            return False
    return None if decided is None else True


def _may_swap(segment: Segment, one: int, two: int) -> bool:
    return one != two and may_swap(segment, min(one, two), max(one, two))


def _touches(segment: Segment, index: int, first: int, count: int) -> bool:
    page = segment.page[index]
    return page < first + count and first < page + max(1, segment.pages[index]) and page >= 0


#: Events after which it is known whether their pages are free, and what the entries hold.
_TELL_FREE = frozenset({ALLOC_ANYWHERE, ALLOC_AT, FREE_NOW, RESERVED, USER_MAPPED})
_TELL_ENTRY = frozenset(
    {ALLOC_ANYWHERE, ALLOC_AT, FREE_NOW, USER_MAPPED, SCRATCHED, PROG_LOAD, PROG_STORE}
)


def _determines(segment: Segment, index: int, found: Contradiction) -> bool:
    """Whether what ``found`` is about does not depend on what was before the event."""
    if segment.op[index] not in (_TELL_FREE if found.of_free_set else _TELL_ENTRY):
        return False
    first, count = found.pages or (0, 0)
    page = segment.page[index]
    return page <= first and first + count <= page + max(1, segment.pages[index])


def _drain_matters(segment: Segment, order: list[int], at: int, free: int) -> bool:
    """Whether the worker may have run before as well as behind a deferred free that counts."""
    return any(
        _may_swap(segment, one, free) or _may_swap(segment, one, order[at])
        for one in _drains(segment, order, at)
    )


def _drains(segment: Segment, order: list[int], at: int) -> Iterator[int]:
    return (one for one in order[: at + _AFTER] if segment.op[one] & KIND == _DRAIN)
