"""The plain forms of the hot loop against the judge, whose answer is the definition."""

from __future__ import annotations

import random
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from arenatrace.model import range_tree, run
from arenatrace.model.arena import Arena
from arenatrace.model.judge import Judge
from arenatrace.model.ops import ArenaFacts, Segment
from arenatrace.model.profiles import PROFILES
from arenatrace.model.recorder import Plan
from arenatrace.model.synth import make
from tests.unit.model.events import segments
from tests.unit.model.runs import runs


@settings(max_examples=runs(100), deadline=None)
@given(
    st.integers(0, 1 << 40),
    st.sampled_from(sorted(PROFILES)),
    st.sampled_from((16, 100, 512, 5000, 1 << 18)),
    st.sampled_from((3, 70, 4096)),
)
def test_many_at_once_leave_the_state_that_one_by_one_does(
    seed: int, profile: str, pages: int, large: int
) -> None:
    plan = Plan(seed, events=300, profile=profile, max_entries=pages)
    with patch.object(range_tree, "LARGE", large), patch.object(run, "LARGE", large):
        arenas, events = make(plan)
        facts = {one.arena: one for one in arenas}
        for arena, segment in segments(arenas, events).items():
            _compare(facts[arena], profile, segment, random.Random(seed))  # noqa: S311 -- a test


def _compare(facts: ArenaFacts, profile: str, segment: Segment, rng: random.Random) -> None:
    fast, slow = (
        Judge(Arena(PROFILES[profile], facts.max_entries, facts.map_flags, user_range=False))
        for _ in range(2)
    )
    slow.segment = segment
    at = 0
    while at < len(segment.op):
        end = min(len(segment.op), at + rng.choice((1, 3, 20, 60)))
        fast.segment = segment.part(0, end)
        assert run.run(fast, fast.segment, at) == end
        assert [slow.judge(one) for one in range(at, end)] == [None] * (end - at)
        assert _shown(fast) == _shown(slow)
        at = end


def _shown(judge: Judge) -> object:
    """All that a judge knows, the order of its ranges included."""
    arena, tree = judge.arena, judge.arena.free
    entries = bytes(arena.pte).rstrip(bytes([arena.tail]))
    taken = bytes(tree.taken).rstrip(bytes([tree.tail]))
    order = tree.by_size()
    assert dict(order) == tree.size_at
    assert sorted(size for size in tree.buckets if size >= len(tree.small)) == tree.large
    assert [size for size, any_ in enumerate(tree.small) if any_] == sorted(
        size for size in tree.buckets if size < len(tree.small)
    )
    known = (arena.limit, arena.queue, arena.queue_known, arena.beyond, arena.stray_frees)
    return entries, taken, order, known, vars(judge.tally), judge.proofs, judge.scratch_seen
