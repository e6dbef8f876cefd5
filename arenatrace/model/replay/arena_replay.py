"""The events of one arena, one after the other, at speed.

``ArenaReplay`` takes segments and keeps two chunks of past events: one to look back into when
an event contradicts the state (see ``reorder``), and the one at hand. Memory follows the
arena's live state, not the length of the trace.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from operator import sub

from arenatrace.model.kernel.arena import Arena
from arenatrace.model.kernel.profiles import Profile
from arenatrace.model.ops import EMPTY, KIND, ArenaInfo, Segment
from arenatrace.model.replay.certainty import Threads, is_certain
from arenatrace.model.replay.checker import Checker
from arenatrace.model.replay.contradiction import Contradiction
from arenatrace.model.replay.fast_path import run
from arenatrace.model.replay.reorder import Budget, find_order, worker_overlaps
from arenatrace.model.replay.tally import Tally
from arenatrace.schema import Kind

#: Events between two points to go back to, at least.
CHUNK = 2048
_MOST_LOOKED_BACK = 4
_LOOKED_FOR_GAP = 128


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
        self, info: ArenaInfo, profile: Profile, on_divergence: Callable[[Divergence], None]
    ) -> None:
        self.info = info
        arena = Arena(profile, info.max_entries, info.map_flags, fresh=info.fresh, user_range=False)
        self.checker = Checker(arena)
        self._on_divergence = on_divergence
        self._budget = Budget()
        self._threads = Threads()
        self._waiting = EMPTY
        self._before = EMPTY
        self._at_before = self.checker.copy()

    @property
    def tally(self) -> Tally:
        """The counts so far."""
        return self.checker.tally

    @property
    def proofs(self) -> dict[str, tuple[int, str]]:
        """What only one generation does, as seen so far: profile to (seq, sentence)."""
        return self.checker.proofs

    def feed(self, segment: Segment, threads: Collection[int] | None = None) -> None:
        """Replay ``segment``, all but a tail that is kept until more is known of what follows.

        ``threads`` are those that occur in it, for who knows them.
        """
        self._threads.expect(set(segment.tid) if threads is None else threads)
        done, size = 0, self._chunk_size()
        if len(segment.op) <= size:
            segment = self._waiting.concat(segment)
        elif self._waiting.op:
            done = _gap(segment, size)
            self._chunk(self._waiting.concat(segment.part(0, done)))
        total = len(segment.op)
        while total - done >= 2 * (size := self._chunk_size()):
            end = _gap(segment, done + size)
            self._chunk(segment.part(done, end))
            done = end
        self._waiting = segment.part(done, total)

    def _chunk_size(self) -> int:
        """A chunk costs a copy of the state: it must be worth it."""
        return max(CHUNK, 2 * self.checker.arena.size())

    def finish(self) -> None:
        """Replay what was still kept back."""
        if self._waiting.op:
            self._chunk(self._waiting)
        self._waiting = EMPTY
        self.checker.tally.stray_frees = self.checker.arena.stray_frees

    def _chunk(self, chunk: Segment) -> None:
        """Replay ``chunk``; on a contradiction, together with the chunk before it."""
        checker = self.checker
        start = checker.copy()
        checker.segment = chunk
        self._threads.look(chunk)
        done = run(checker, chunk, 0)
        if done < len(chunk.op):
            whole = self._before.concat(chunk)
            self.checker = self._careful(whole, len(self._before.op), done)
            return
        self._before, self._at_before = chunk, start

    def _careful(self, whole: Segment, offset: int, done: int) -> Checker:
        """Go on from the contradiction after ``offset + done`` events of ``whole``."""
        start, checker = self._at_before, self.checker
        start.segment = checker.segment = whole
        order = list(range(len(whole.op)))
        at, plain_from = offset + done, 0
        while at < len(order):
            if at >= plain_from:
                at = run(checker, whole, at)
                if at == len(order):
                    break
            index = order[at]
            found = checker.check(index)
            if found is None:
                at += 1
                continue
            other = self._find_order(start, whole, order, at, found)
            if other is not None:
                checker, order, at = other
                plain_from = _plain_from(order)
                checker.tally.reordered = start.tally.reordered + _early(order)
                continue
            self._budget.failures -= found.pages != (0, 0)
            if found.excusable:
                checker.excuse(index)
            else:
                overlapped = self._threads.overlapped
                settled = is_certain(whole, order, at, found, overlapped=overlapped)
                if settled:
                    self._diverge(whole, index, found)
                checker.adopt(index, settled=settled)
            at += 1
            # what was decided stays so: nothing before it is looked at again
            start = checker.copy()
            whole, order, plain_from = _rest(whole, order, at)
            start.segment = checker.segment = whole
            at = 0
        # A later contradiction may have its cause in here too, but not without end.
        if len(order) <= _MOST_LOOKED_BACK * self._chunk_size():
            self._before = Segment(*([column[index] for index in order] for column in whole))
            self._at_before = start
        else:
            self._before, self._at_before = EMPTY, checker.copy()
        return checker

    def _find_order(
        self, start: Checker, whole: Segment, order: list[int], at: int, found: Contradiction
    ) -> tuple[Checker, list[int], int] | None:
        if self._budget.failures <= 0 or found.pages == (0, 0):
            return None
        other = find_order(start, whole, order, at)
        worth_more = self._budget.failures > 20 and not found.excusable
        if other is None and worth_more and worker_overlaps(whole, order, at):
            other = find_order(start, whole, order, at, thorough=True)
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
                arena=self.info.arena,
                page=page if page >= 0 else None,
            )
        )


def _gap(segment: Segment, high: int) -> int:
    """Where shortly before ``high`` the events are farthest apart: a good place to cut."""
    low = high - _LOOKED_FOR_GAP
    times = list(segment.ts_ns[low - 1 : high])
    gaps = list(map(sub, times[1:], times))
    return low + gaps.index(max(gaps))


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
