"""Compare the fast path with the checker, which is the definition."""

from __future__ import annotations

import random
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from arenatrace.model.kernel import range_tree
from arenatrace.model.kernel.arena import Arena
from arenatrace.model.kernel.profiles import PROFILES
from arenatrace.model.ops import ArenaInfo, Segment
from arenatrace.model.replay import fast_path
from arenatrace.model.replay.checker import Checker
from arenatrace.model.synth.event_log import Plan
from arenatrace.model.synth.synthesize import make
from tests.runs import runs
from tests.unit.model.hand_written_events import segments


@settings(max_examples=runs(100), deadline=None)
@given(
    st.integers(0, 1 << 40),
    st.sampled_from(sorted(PROFILES)),
    st.sampled_from((16, 100, 512, 5000, 1 << 18)),
    st.sampled_from((3, 70, 4096)),
)
def test_fast_path_leaves_the_state_of_the_checker(
    seed: int, profile: str, pages: int, large: int
) -> None:
    plan = Plan(seed, events=300, profile=profile, max_entries=pages)
    with patch.object(range_tree, "LARGE", large), patch.object(fast_path, "LARGE", large):
        arenas, events = make(plan)
        infos = {one.arena: one for one in arenas}
        for arena, segment in segments(arenas, events).items():
            _compare(infos[arena], profile, segment, random.Random(seed))  # noqa: S311 -- a test


@settings(max_examples=runs(100), deadline=None)
@given(st.integers(0, 1 << 40), st.sampled_from(sorted(PROFILES)))
def test_fast_path_stops_at_the_first_contradiction_of_the_checker(seed: int, profile: str) -> None:
    """Copy random events over others: most of them are impossible there."""
    dice = random.Random(seed)  # noqa: S311 -- a test
    arenas, events = make(Plan(seed, events=300, profile=profile, max_entries=100))
    infos = {one.arena: one for one in arenas}
    for arena, segment in segments(arenas, events).items():
        ops, pages, counts = list(segment.op), list(segment.page), list(segment.pages)
        for _ in range(dice.choice((1, 3, 10))):
            to, source = dice.randrange(len(ops)), dice.randrange(len(ops))
            ops[to] = ops[source]
            if dice.random() < 0.7:
                pages[to], counts[to] = pages[source], counts[source]
        _stop_together(infos[arena], profile, segment._replace(op=ops, page=pages, pages=counts))


def _stop_together(info: ArenaInfo, profile: str, segment: Segment) -> None:
    fast, slow = _checkers(info, profile)
    fast.segment = slow.segment = segment
    at, end = 0, len(segment.op)
    while at < end:
        stop = fast_path.run(fast, segment, at)
        assert stop == next((one for one in range(at, end) if slow.check(one) is not None), end)
        if stop < end:
            fast.adopt(stop, settled=True)
            slow.adopt(stop, settled=True)
        assert _state(fast) == _state(slow)
        at = stop + 1


def _checkers(info: ArenaInfo, profile: str) -> tuple[Checker, Checker]:
    """Return two checkers of the same arena."""
    fast, slow = (
        Checker(Arena(PROFILES[profile], info.max_entries, info.map_flags, user_range=False))
        for _ in range(2)
    )
    return fast, slow


def _compare(info: ArenaInfo, profile: str, segment: Segment, rng: random.Random) -> None:
    fast, slow = _checkers(info, profile)
    slow.segment = segment
    at = 0
    while at < len(segment.op):
        end = min(len(segment.op), at + rng.choice((1, 3, 20, 60)))
        fast.segment = segment.part(0, end)
        assert fast_path.run(fast, fast.segment, at) == end
        assert [slow.check(one) for one in range(at, end)] == [None] * (end - at)
        assert _state(fast) == _state(slow)
        at = end


def _state(checker: Checker) -> object:
    """Return the complete state of a checker, with the order of its ranges."""
    arena, tree = checker.arena, checker.arena.free
    entries = bytes(arena.pte).rstrip(bytes([arena.tail]))
    taken = bytes(tree.taken).rstrip(bytes([tree.tail]))
    order = tree.by_size()
    assert dict(order) == tree.size_at
    assert sorted(size for size in tree.buckets if size >= len(tree.small)) == tree.large
    assert [size for size, any_ in enumerate(tree.small) if any_] == sorted(
        size for size in tree.buckets if size < len(tree.small)
    )
    known = (arena.limit, arena.queue, arena.queue_known, arena.outside, arena.stray_frees)
    return entries, taken, order, known, vars(checker.tally), checker.proofs, checker.scratch_seen
