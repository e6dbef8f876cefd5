"""The events of one arena, one after the other, at speed.

``ArenaReplay`` takes segments and keeps two chunks of past events: one to look back into when
an event contradicts the state (see ``reorder``), and the one at hand. Memory follows the
arena's live state, not the length of the trace.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from arenatrace.model.arena import Arena
from arenatrace.model.judge import Contradiction, Judge, Tally
from arenatrace.model.ops import (
    ALLOC_ANYWHERE,
    DRAIN,
    EMPTY,
    FREE_LATER,
    FREE_NOW,
    KIND,
    ArenaFacts,
    Segment,
)
from arenatrace.model.profiles import Profile
from arenatrace.model.pte import Pte
from arenatrace.model.reorder import Budget, another_order, crowded, worker_overlaps
from arenatrace.schema import Kind

#: Events between two points to go back to, at least.
CHUNK = 1024
_MOST_LOOKED_BACK = 4


@dataclass(frozen=True)
class Divergence:
    """One event that cannot have happened as recorded."""

    seq: int
    kind: str
    expected: str
    observed: str
    explanation: str
    ts_ns: int
    arena: int
    #: First arena page concerned, None where there is none.
    page: int | None


class ArenaReplay:
    """Replays one arena under one profile. Divergences go to ``on_divergence`` as found."""

    def __init__(
        self, facts: ArenaFacts, profile: Profile, on_divergence: Callable[[Divergence], None]
    ) -> None:
        self.facts = facts
        arena = Arena(
            profile, facts.max_entries, facts.map_flags, fresh=facts.fresh, user_range=False
        )
        self.judge = Judge(arena)
        self._on_divergence = on_divergence
        self._budget = Budget()
        self._waiting = EMPTY
        self._before = EMPTY
        self._at_before = self.judge.copy()

    @property
    def tally(self) -> Tally:
        """The counts so far."""
        return self.judge.tally

    @property
    def proofs(self) -> dict[str, tuple[int, str]]:
        """What only one generation does, as seen so far: profile to (seq, sentence)."""
        return self.judge.proofs

    def feed(self, segment: Segment) -> None:
        """Replay ``segment``, all but a tail that is kept until more is known of what follows."""
        if self._waiting.op:
            segment = self._waiting.then(segment)
        done, total = 0, len(segment.op)
        while total - done >= 2 * (size := max(CHUNK, 2 * self.judge.arena.size())):
            end = _gap(segment, done + size // 2, done + size)
            self._chunk(segment.part(done, end))
            done = end
        self._waiting = segment.part(done, total)

    def finish(self) -> None:
        """Replay what was still kept back."""
        if self._waiting.op:
            self._chunk(self._waiting)
        self._waiting = EMPTY
        self.judge.tally.stray_frees = self.judge.arena.stray_frees

    def _chunk(self, chunk: Segment) -> None:
        """Replay ``chunk``; on a contradiction, together with the chunk before it."""
        judge = self.judge
        start = judge.copy()
        judge.segment = chunk
        done = run(judge, chunk, 0)
        if done < len(chunk.op):
            whole = self._before.then(chunk)
            self.judge = self._careful(whole, len(self._before.op), done)
            return
        self._before, self._at_before = chunk, start

    def _careful(self, whole: Segment, offset: int, done: int) -> Judge:
        """Go on from the contradiction after ``offset + done`` events of ``whole``."""
        start, judge = self._at_before, self.judge
        start.segment = judge.segment = whole
        order = list(range(len(whole.op)))
        at, plain_from = offset + done, 0
        while at < len(order):
            if at >= plain_from:
                at = run(judge, whole, at)
                if at == len(order):
                    break
            index = order[at]
            found = judge.judge(index)
            if found is None:
                at += 1
                continue
            other = self._another_order(start, whole, order, at, found)
            if other is not None:
                judge, order, at = other
                plain_from = _plain_from(order)
                judge.tally.reordered = start.tally.reordered + _early(order)
                continue
            self._budget.failures -= found.pages != (0, 0)
            if found.excusable:
                judge.excuse(index)
            elif found.pages != (0, 0) and crowded(whole, order, at, found.pages):
                judge.adopt(index, settled=False)
            else:
                self._diverge(whole, index, found)
                judge.adopt(index)
            at += 1
            # what was decided stays so: nothing before it is looked at again
            start = judge.copy()
            whole, order, plain_from = _rest(whole, order, at)
            start.segment = judge.segment = whole
            at = 0
        # A later contradiction may have its cause in here too, but not without end.
        if len(order) <= _MOST_LOOKED_BACK * max(CHUNK, 2 * judge.arena.size()):
            self._before = Segment(*([column[index] for index in order] for column in whole))
            self._at_before = start
        else:
            self._before, self._at_before = EMPTY, judge.copy()
        return judge

    def _another_order(
        self, start: Judge, whole: Segment, order: list[int], at: int, found: Contradiction
    ) -> tuple[Judge, list[int], int] | None:
        if self._budget.failures <= 0 or found.pages == (0, 0):
            return None
        other = another_order(start, whole, order, at)
        worth_more = self._budget.failures > 20 and not found.excusable
        if other is None and worth_more and worker_overlaps(whole, order, at):
            other = another_order(start, whole, order, at, thorough=True)
        return other

    def _diverge(self, segment: Segment, index: int, found: Contradiction) -> None:
        page = segment.page[index]
        self._on_divergence(
            Divergence(
                seq=segment.seq[index],
                kind=Kind(segment.op[index] & KIND).label,
                expected=found.expected,
                observed=found.observed,
                explanation=found.explanation,
                ts_ns=segment.ts_ns[index],
                arena=self.facts.arena,
                page=page if page >= 0 else None,
            )
        )


def run(judge: Judge, segment: Segment, start: int) -> int:
    """Replay from position ``start``; the position of the first contradiction, or the end.

    The two operations most traces are made of have their effect written out here; everything
    else, and these in any but their plainest form, goes through ``judge.judge``.
    """
    at = start
    while at < len(segment.op):
        at = _run_plain(judge, segment, at)
        if at < len(segment.op):
            if judge.judge(at) is not None:
                return at
            at += 1
    return at


def _run_plain(judge: Judge, segment: Segment, start: int) -> int:  # noqa: C901 -- the hot loop
    """``run`` for as long as the arena stays the same object and in plain order."""
    arena, slow, real = judge.arena, judge.judge, Pte.REAL
    tree, turning = arena.free, _TURNING
    pte, take, give, release = arena.pte, tree.take, tree.give, arena.release
    add_pages, later, drain = arena.pte.update, arena.queue.append, arena.drain
    known = judge.alive and arena.limit is not None
    whole = known and arena.complete
    limit = arena.limit or 0
    ordered = whole and _plain_order(judge)
    done = predicted = 0
    at = start - 1
    rest = segment.part(start, len(segment.op)) if start else segment
    for op, page, count in zip(rest.op, rest.page, rest.pages, strict=True):
        at += 1
        if op == ALLOC_ANYWHERE:
            if ordered and count > 0 and take(page, count):
                if count == 1:
                    pte[page] = real
                else:
                    add_pages(dict.fromkeys(range(page, page + count), real))
                predicted += 1
                continue
        elif op == FREE_NOW:
            if count == 1:
                if whole and pte.get(page) is real:
                    del pte[page]
                    give(page, 1)
                    done += 1
                    continue
            elif whole and count > 0 and page >= 0 and page + count <= limit:
                release(page, count)
                done += 1
                continue
        elif op == FREE_LATER:
            if whole and count > 0 and page >= 0 and page + count <= limit:
                later((page, count))
                done += 1
                continue
        elif op == DRAIN:
            if whole and arena.queue_known:
                drain()
                done += 1
                continue
        elif op & KIND in turning:
            break
        if slow(at) is not None:
            break
        if arena.free is not tree:
            at += 1
            break
        if ordered:
            ordered = _plain_order(judge)
    else:
        at += 1
    judge.tally.events += done + predicted
    judge.tally.predicted_addresses += predicted
    return at


def _plain_order(judge: Judge) -> bool:
    """Whether an allocation's place follows from the free set alone, with nothing to learn."""
    arena = judge.arena
    if not judge.scratch_seen:
        return arena.ordered
    # until it has been shown once that scratch is replaced, it is worth looking
    replaced = arena.profile.alloc_replaces_scratch and "scratch-replace" in judge.proofs
    return arena.ordered and replaced


#: Kinds after which the plain loop must look anew at what it works on.
_TURNING = frozenset(
    {int(k) for k in (Kind.ARENA_CREATE, Kind.ARENA_MMAP, Kind.ARENA_DESTROY, Kind.LOST)}
)


def _gap(segment: Segment, low: int, high: int) -> int:
    """Where between ``low`` and ``high`` the events are farthest apart: a good place to cut."""
    times = segment.ts_ns
    return max(range(low, high), key=lambda at: times[at] - times[at - 1])


def _plain_from(order: list[int]) -> int:
    """The position from which ``order`` is the recorded one."""
    at = len(order)
    while at and order[at - 1] == at - 1:
        at -= 1
    return at


def _early(order: list[int]) -> int:
    """How many events take effect before one that was recorded earlier."""
    early, least = 0, len(order)
    for index in reversed(order):
        early += index > least
        least = min(least, index)
    return early


def _rest(segment: Segment, order: list[int], at: int) -> tuple[Segment, list[int], int]:
    """The events not yet replayed as a segment of their own, in recorded order, and the order."""
    left = sorted(order[at:])
    rest = Segment(*([column[index] for index in left] for column in segment))
    place = {index: position for position, index in enumerate(left)}
    remaining = [place[index] for index in order[at:]]
    return rest, remaining, _plain_from(remaining)
