"""Search for another order of events when the recorded order is impossible.

An event has one timestamp: the entry of its function (page_free, free_drain) or the exit (all
others). The effect comes after the entry or before the exit, so two events of different threads
may take effect in the opposite order. Events of one thread never do. Neither do an exit and a
later entry: the first function returned before the second one began.

The search is local and bounded. It moves a few single events near the contradiction, within
REORDER_WINDOW_NS.
"""

from __future__ import annotations

from itertools import pairwise

from arenatrace.model.ops import ENTRY_KINDS, FIXED_KINDS, KIND, LOSSY, Segment
from arenatrace.model.replay.checker import Checker
from arenatrace.schema import Kind

#: Most ns between two events that may take effect in the opposite order.
REORDER_WINDOW_NS = 10_000_000

#: Positions searched before the contradiction, in three steps, and after it.
_BEFORE = (24, 96, 512)
_AFTER = 24
#: Most positions that one event moves, and most events that move.
_REACH = 8
_DEPTH = 3
#: Most trial orders, and how many of them are extended: first search, and thorough search.
_QUICK = (300, 6)
_THOROUGH = (2500, 40)
#: Events checked after the contradiction, to choose between trial orders.
_FOLLOW = 24

_ENTRY = frozenset(int(kind) for kind in ENTRY_KINDS)
_FIXED = frozenset(int(kind) for kind in FIXED_KINDS)


def may_swap(segment: Segment, first: int, second: int) -> bool:
    """Return whether the event ``second`` may take effect before the earlier event ``first``."""
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
    """Failed searches left for an arena. It bounds the time for a trace of another kernel."""

    def __init__(self, failures: int = 40) -> None:
        self.failures = failures


def find_order(
    start: Checker, segment: Segment, order: list[int], bad: int, *, thorough: bool = False
) -> tuple[Checker, list[int], int] | None:
    """Search for an order in which the event at position ``bad`` is no contradiction.

    ``start`` is the state before the first event of ``order``. Returns the new state, the new
    order and the number of its events applied to that state, above ``bad``; None if the search
    fails.
    """
    reached = 0
    checker = start.copy()
    checkers: list[tuple[int, Checker]] = []
    for base_at in sorted({max(0, bad - back) for back in _BEFORE}):
        for position in range(reached, base_at):
            checker.check(order[position])
        reached = base_at
        checkers.append((base_at, checker.copy()))
    end = min(len(order), bad + _AFTER)
    tried_from = len(order)
    for base_at, base in reversed(checkers):
        local = order[base_at:end]
        effort = _THOROUGH if thorough else _QUICK
        found = _search(base, segment, local, bad - base_at, tried_from - base_at, effort)
        # A thorough search may need two moves, with only one of them farther back.
        tried_from = len(order) if thorough else base_at
        if found is not None:
            local, survived = found
            new = order[:base_at] + local + order[end:]
            for index in local[:survived]:
                base.check(index)
            return base, new, base_at + survived
        if base_at == 0:
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
    """Return the best order of ``local`` and how many of its events it explains.

    Moves wholly at or after the position ``tried_from`` have been tried before.
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
            # It explains the contradiction; a later event may need a move of its own.
            survived, moved = candidates[0]
            return moved, survived
        beam = candidates[:width]
        if trials <= 0:
            break
    return None


def _survives(base: Checker, order: list[int], bad: int) -> int:
    """Return how many events of ``order`` are possible, up to _FOLLOW events after ``bad``."""
    checker = base.copy()
    for position in range(min(len(order), bad + _FOLLOW)):
        if checker.check(order[position]) is not None:
            return position
    return min(len(order), bad + _FOLLOW)


def worker_overlaps(segment: Segment, order: list[int], at: int) -> bool:
    """Return whether the event at ``at`` overlaps, while no two other threads do."""
    near = order[max(0, at - _BEFORE[1]) : at + _AFTER]
    return _overlaps(segment, near, order[at]) and not threads_overlap(segment, order, at)


def threads_overlap(segment: Segment, order: list[int], at: int) -> bool:
    """Return whether two threads other than the worker overlap near position ``at``."""
    near = order[max(0, at - _BEFORE[1]) : at + _AFTER]
    others = [index for index in near if segment.op[index] & KIND != Kind.FREE_DRAIN]
    return any(
        may_swap(segment, first, second) for first, second in pairwise(others) if first < second
    )


def _overlaps(segment: Segment, near: list[int], bad: int) -> bool:
    """Return whether any event of ``near`` may swap with the event ``bad``."""
    return any(
        may_swap(segment, min(index, bad), max(index, bad)) for index in near if index != bad
    )


def _moves(segment: Segment, order: list[int], stuck: int, tried_from: int) -> list[list[int]]:
    """Return the orders with one event of ``order`` moved, nearest to ``stuck`` first.

    Moves that begin at or after ``tried_from`` are left out, unless ``tried_from`` is 0.
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
    """Return whether ``after`` may move before ``before``; back to recorded order always."""
    return after < before or may_swap(segment, before, after)
