"""Replay of the events of one arena.

``ArenaReplay`` takes segments and keeps two chunks of events: the current one, and the one
before it for the search for another order (see ``reorder``). Memory use follows the live state
of the arena, not the length of the trace.
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

#: Fewest events between two copies of the state.
CHUNK = 2048
#: Most chunks of past events kept after a contradiction.
_MOST_CHUNKS_BACK = 4
#: Events before a chunk's end among which the largest gap in time becomes the end.
_GAP_SEARCH = 128


@dataclass(frozen=True)
class Divergence:
    """One event that is impossible as recorded."""

    seq: int
    kind: str
    expected: str
    observed: str
    explanation: str
    ts_ns: int
    arena: int
    #: First page of the event, None without one.
    page: int | None


class ArenaReplay:
    """Replays one arena under one profile, and calls ``on_divergence`` for each divergence."""

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
        """Counts so far."""
        return self.checker.tally

    @property
    def proofs(self) -> dict[str, tuple[int, str]]:
        """Proofs so far: profile to (seq, sentence) of the first event that only it allows."""
        return self.checker.proofs

    def feed(self, segment: Segment, threads: Collection[int] | None = None) -> None:
        """Replay ``segment`` except for a tail, which waits for the next segment or ``finish``.

        ``threads`` are the thread ids of the segment, if the caller knows them.
        """
        self._threads.expect(set(segment.tid) if threads is None else threads)
        done, size = 0, self._chunk_size()
        if len(segment.op) <= size:
            segment = self._waiting.concat(segment)
        elif self._waiting.op:
            done = _largest_gap(segment, size)
            self._replay_chunk(self._waiting.concat(segment.part(0, done)))
        total = len(segment.op)
        while total - done >= 2 * (size := self._chunk_size()):
            end = _largest_gap(segment, done + size)
            self._replay_chunk(segment.part(done, end))
            done = end
        self._waiting = segment.part(done, total)

    def _chunk_size(self) -> int:
        """Return the events per chunk, so that copies of the state stay cheap in comparison."""
        return max(CHUNK, 2 * self.checker.arena.size())

    def finish(self) -> None:
        """Replay the waiting tail."""
        if self._waiting.op:
            self._replay_chunk(self._waiting)
        self._waiting = EMPTY
        self.checker.tally.stray_frees = self.checker.arena.stray_frees

    def _replay_chunk(self, chunk: Segment) -> None:
        """Replay ``chunk``; on a contradiction, together with the chunk before it."""
        checker = self.checker
        start = checker.copy()
        checker.segment = chunk
        self._threads.look(chunk)
        done = run(checker, chunk, 0)
        if done < len(chunk.op):
            joined = self._before.concat(chunk)
            self.checker = self._replay_reordering(joined, len(self._before.op), done)
            return
        self._before, self._at_before = chunk, start

    def _replay_reordering(self, joined: Segment, offset: int, done: int) -> Checker:
        """Replay ``joined`` from the contradiction after ``offset + done`` events.

        Each contradiction is resolved by another order of events, excused, or reported.
        """
        start, checker = self._at_before, self.checker
        start.segment = checker.segment = joined
        order = list(range(len(joined.op)))
        at, recorded_from = offset + done, 0
        while at < len(order):
            if at >= recorded_from:
                at = run(checker, joined, at)
                if at == len(order):
                    break
            index = order[at]
            found = checker.check(index)
            if found is None:
                at += 1
                continue
            other = self._find_order(start, joined, order, at, found)
            if other is not None:
                checker, order, at = other
                recorded_from = _recorded_from(order)
                checker.tally.reordered = start.tally.reordered + _count_early(order)
                continue
            self._budget.failures -= found.pages != (0, 0)
            if found.excusable:
                checker.excuse(index)
            else:
                overlapped = self._threads.overlapped
                settled = is_certain(joined, order, at, found, overlapped=overlapped)
                if settled:
                    self._report(joined, index, found)
                checker.adopt(index, settled=settled)
            at += 1
            # The decision is final: no search goes back before this event.
            start = checker.copy()
            joined, order, recorded_from = _rest(joined, order, at)
            start.segment = checker.segment = joined
            at = 0
        # A later contradiction may have its cause in these events. The limit bounds memory.
        if len(order) <= _MOST_CHUNKS_BACK * self._chunk_size():
            self._before = Segment(*([column[index] for index in order] for column in joined))
            self._at_before = start
        else:
            self._before, self._at_before = EMPTY, checker.copy()
        return checker

    def _find_order(
        self, start: Checker, joined: Segment, order: list[int], at: int, found: Contradiction
    ) -> tuple[Checker, list[int], int] | None:
        if self._budget.failures <= 0 or found.pages == (0, 0):
            return None
        other = find_order(start, joined, order, at)
        worth_more = self._budget.failures > 20 and not found.excusable
        if other is None and worth_more and worker_overlaps(joined, order, at):
            other = find_order(start, joined, order, at, thorough=True)
        return other

    def _report(self, segment: Segment, index: int, found: Contradiction) -> None:
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


def _largest_gap(segment: Segment, high: int) -> int:
    """Return the position of the largest gap in time shortly before ``high``."""
    low = high - _GAP_SEARCH
    times = list(segment.ts_ns[low - 1 : high])
    gaps = list(map(sub, times[1:], times))
    return low + gaps.index(max(gaps))


def _recorded_from(order: list[int]) -> int:
    """Return the position from which ``order`` is the recorded order."""
    at = len(order)
    while at and order[at - 1] == at - 1:
        at -= 1
    return at


def _count_early(order: list[int]) -> int:
    """Return how many events take effect before an event recorded earlier."""
    early, least = 0, len(order)
    for index in reversed(order):
        early += index > least
        least = min(least, index)
    return early


def _rest(segment: Segment, order: list[int], at: int) -> tuple[Segment, list[int], int]:
    """Return the events not yet replayed, in recorded order, and their order of effect.

    The third value is the position from which that order is the recorded one.
    """
    left = sorted(order[at:])
    rest = Segment(*([column[index] for index in left] for column in segment))
    position_of = {index: position for position, index in enumerate(left)}
    remaining = [position_of[index] for index in order[at:]]
    return rest, remaining, _recorded_from(remaining)
