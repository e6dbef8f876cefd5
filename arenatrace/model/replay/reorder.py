"""Another order of events, when the recorded one cannot have happened.

An event has one time: that of its function's entry (page_free, free_drain) or of its exit
(all others). It took effect after its entry or before its exit, so two events of different
threads may have taken effect the other way round. Events of one thread never did, nor did an
exit followed by an entry: the first was over before the second began.

The search is local and bounded: it moves single events near the contradiction, a few at most,
and only within the window.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from arenatrace.model.ops import ENTRY_KINDS, FIXED_KINDS, KIND, LOSSY, Segment
from arenatrace.schema import Kind

if TYPE_CHECKING:
    from arenatrace.model.replay.checker import Checker

#: Two events may have taken effect the other way round if they are at most this far apart, ns.
REORDER_WINDOW_NS = 10_000_000

#: Positions looked at behind the contradiction and ahead of it.
_BEHIND = (24, 96, 512)
_AHEAD = 24
#: How far one event is moved at most, in positions.
_REACH = 8
_DEPTH = 3
#: Trial orders in all, and how many of them are built upon: at first, and before giving up.
_QUICK = (300, 6)
_THOROUGH = (2500, 40)
#: A trial order is followed this many events past the contradiction, to choose among several.
_FOLLOW = 24

_ENTRY = frozenset(int(kind) for kind in ENTRY_KINDS)
_FIXED = frozenset(int(kind) for kind in FIXED_KINDS)


def may_swap(segment: Segment, first: int, second: int) -> bool:
    """Whether the event recorded ``second`` may have taken effect before the one ``first``."""
    if segment.tid[first] == segment.tid[second]:
        return False
    if segment.ts_ns[second] - segment.ts_ns[first] > REORDER_WINDOW_NS:
        return False
    op_first, op_second = segment.op[first], segment.op[second]
    one, two = op_first & KIND, op_second & KIND
    if one in _FIXED or two in _FIXED or (op_first | op_second) & LOSSY:
        return False
    return one in _ENTRY or two not in _ENTRY


class Budget:
    """How many searches an arena may still lose: a trace of another kernel must not take hours."""

    def __init__(self, failures: int = 40) -> None:
        self.failures = failures


def find_order(
    start: Checker, segment: Segment, order: list[int], bad: int, *, thorough: bool = False
) -> tuple[Checker, list[int], int] | None:
    """An order in which the event at position ``bad`` of ``order`` is no contradiction.

    ``start`` is the state before the first event. Returns the state, the new order and how
    many of its events have taken effect, more than ``bad``; None if there is none to be found.
    """
    reached = 0
    checker = start.copy()
    checkers: list[tuple[int, Checker]] = []
    for behind in sorted({max(0, bad - back) for back in _BEHIND}):
        for position in range(reached, behind):
            checker.check(order[position])
        reached = behind
        checkers.append((behind, checker.copy()))
    end = min(len(order), bad + _AHEAD)
    tried_from = len(order)
    for behind, base in reversed(checkers):
        local = order[behind:end]
        effort = _THOROUGH if thorough else _QUICK
        found = _search(base, segment, local, bad - behind, tried_from - behind, effort)
        # in depth, two moves may be needed of which only one lies farther back
        tried_from = len(order) if thorough else behind
        if found is not None:
            local, survived = found
            new = order[:behind] + local + order[end:]
            for index in local[:survived]:
                base.check(index)
            return base, new, behind + survived
        if behind == 0:
            break
    return None


def _search(
    base: Checker,
    segment: Segment,
    local: list[int],
    bad: int,
    tried_from: int,
    effort: tuple[int, int],
) -> tuple[list[int], int] | None:
    """The best order of ``local`` and how many of its events it explains.

    Moves that lie wholly at or behind the position ``tried_from`` have been tried already.
    """
    beam = [(bad, local)]
    seen = {tuple(local)}
    trials, width = effort
    for depth in range(_DEPTH):
        candidates: list[tuple[int, list[int]]] = []
        for stuck, current in beam:
            for moved in _moves(segment, current, stuck, 0 if depth else tried_from):
                key = tuple(moved)
                if key in seen:
                    continue
                seen.add(key)
                trials -= 1
                survived = _survives(base, moved, bad)
                if survived >= min(len(moved), bad + _FOLLOW):
                    return moved, survived
                candidates.append((survived, moved))
                if trials <= 0:
                    break
        if not candidates:
            break
        candidates.sort(key=lambda found: -found[0])
        if candidates[0][0] > bad:
            # It explains the contradiction; what comes later may need a move of its own.
            survived, moved = candidates[0]
            return moved, survived
        beam = candidates[:width]
        if trials <= 0:
            break
    return None


def _survives(base: Checker, order: list[int], bad: int) -> int:
    """How many events of ``order`` can have happened, counted to just past ``bad``."""
    checker = base.copy()
    for position in range(min(len(order), bad + _FOLLOW)):
        if checker.check(order[position]) is not None:
            return position
    return min(len(order), bad + _FOLLOW)


def worker_overlaps(segment: Segment, order: list[int], at: int) -> bool:
    """Whether the event at position ``at`` overlaps with others, but no two threads besides."""
    near = order[max(0, at - _BEHIND[1]) : at + _AHEAD]
    return _overlaps(segment, near, order[at]) and not threads_overlap(segment, order, at)


def threads_overlap(segment: Segment, order: list[int], at: int) -> bool:
    """Whether around position ``at`` more overlaps than one thread and the worker."""
    near = order[max(0, at - _BEHIND[1]) : at + _AHEAD]
    others = [index for index in near if segment.op[index] & KIND != Kind.FREE_DRAIN]
    return any(
        may_swap(segment, first, second) for first, second in pairwise(others) if first < second
    )


def _overlaps(segment: Segment, near: list[int], bad: int) -> bool:
    """Whether any event of ``near`` may have changed places with the event ``bad`` itself."""
    return any(
        may_swap(segment, min(index, bad), max(index, bad)) for index in near if index != bad
    )


def _moves(segment: Segment, order: list[int], stuck: int, tried_from: int) -> list[list[int]]:
    """Orders that differ from ``order`` by one event moved, the nearest to ``stuck`` first.

    Left out are moves that begin at or behind ``tried_from``, unless that is 0.
    """
    found: list[tuple[int, list[int]]] = []
    last = min(len(order) - 1, stuck + _REACH)
    for late in range(1, last + 1):
        for early in range(late - 1, max(-1, late - _REACH) - 1, -1):
            if early > stuck or early < 0 or early >= tried_from > 0:
                continue
            if not _inverts(segment, order[early], order[late]):
                break
            pulled = order.copy()
            pulled.insert(early, pulled.pop(late))
            found.append((abs(late - stuck) + abs(early - stuck), pulled))
    for early in range(min(stuck, last), -1, -1):
        if early >= tried_from > 0:
            continue
        for late in range(early + 2, min(last, early + _REACH) + 1):
            if not all(
                _inverts(segment, order[early], order[over]) for over in range(late, early, -1)
            ):
                break
            if late < stuck:
                continue
            pushed = order.copy()
            pushed.insert(late, pushed.pop(early))
            found.append((abs(late - stuck) + abs(early - stuck), pushed))
    found.sort(key=lambda item: item[0])
    return [order for _, order in found]


def _inverts(segment: Segment, before: int, after: int) -> bool:
    """Whether ``after`` may come before ``before``: back into recorded order always."""
    return after < before or may_swap(segment, before, after)
