"""What replay finds and what it must leave alone, event by event."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arenatrace.model.kernel.arena import Arena
from arenatrace.model.kernel.nodes import Nodes, NodeStatus
from arenatrace.model.kernel.profiles import PROFILES, with_maple
from arenatrace.model.ops import ArenaInfo
from arenatrace.model.replay.checker import Checker
from arenatrace.model.replay.fast_path import run
from arenatrace.model.synth.event_log import Plan, SynthEvent
from arenatrace.model.synth.mutate import MUTATIONS, make_mutated
from arenatrace.model.synth.synthesize import make
from arenatrace.schema import PAGE_SIZE, Kind, Outcome
from tests.runs import runs
from tests.unit.model.hand_written_events import KERN, USER, Script, arena_info, replay, segments

_INSTALLED = Outcome.SCRATCH_INSTALLED


@settings(max_examples=runs(700), deadline=None)
@given(st.integers(0, 1 << 40), st.sampled_from(sorted(PROFILES)), st.sampled_from((64, 700)))
def test_a_valid_trace_never_diverges(seed: int, profile: str, pages: int) -> None:
    plan = Plan(seed, events=250, profile=profile, max_entries=pages)
    made = replay(*make(plan), profile)
    assert made.divergences == []
    assert made.tally.unknown == made.tally.unexplained == made.tally.reordered == 0
    facts_, events = make(plan)
    granted = sum(1 for event in events if event.kind == Kind.PAGE_ALLOC and event.ret)
    assert made.tally.predicted_addresses == granted
    assert len(facts_) == plan.arenas


@settings(max_examples=runs(15), deadline=None)
@given(st.integers(0, 1 << 40), st.sampled_from(sorted(PROFILES)))
def test_one_thread_and_the_worker_overlap(seed: int, profile: str) -> None:
    plan = Plan(seed, events=1200, profile=profile, threads=1, jitter_ns=3000)
    made = replay(*make(plan), profile)
    assert made.divergences == []


@settings(max_examples=runs(6), deadline=None)
@given(st.integers(0, 1 << 40), st.sampled_from((2, 4)))
def test_threads_that_overlap_raise_no_false_alarm(seed: int, threads: int) -> None:
    plan = Plan(seed, events=800, threads=threads, jitter_ns=2000)
    assert replay(*make(plan)).divergences == []


@settings(max_examples=runs(150), deadline=None)
@given(st.integers(0, 1 << 40), st.sampled_from(sorted(PROFILES)), st.booleans())
def test_the_plain_loop_does_what_judging_one_by_one_does(
    seed: int, profile: str, maple: bool
) -> None:
    plan = Plan(seed, events=400, arenas=1, profile=profile, max_entries=300)
    arenas, events = make(plan)
    (segment,) = segments(arenas, events).values()
    chosen = with_maple(PROFILES[profile]) if maple else PROFILES[profile]
    fast, slow = (
        Checker(Arena(chosen, arenas[0].max_entries, arenas[0].map_flags, user_range=False))
        for _ in range(2)
    )
    fast.segment = slow.segment = segment
    at = run(fast, segment, 0)
    assert [slow.check(index) for index in range(at)] == [None] * at
    assert fast.tally == slow.tally
    one, other = fast.arena, slow.arena
    assert one.free.by_size() == other.free.by_size()
    assert one.free.ordered == other.free.ordered
    pages = range(one.max_entries)
    assert [one.state(page) for page in pages] == [other.state(page) for page in pages]
    assert [one.freeness(page, 1) for page in pages] == [other.freeness(page, 1) for page in pages]
    assert (one.queue, one.outside, one.stray_frees) == (
        other.queue,
        other.outside,
        other.stray_frees,
    )
    assert fast.proofs == slow.proofs


_CASES = [(name, profile) for name, (names, _) in MUTATIONS.items() for profile in sorted(names)]


@pytest.mark.parametrize(("name", "profile"), _CASES)
@pytest.mark.parametrize("seed", [1, 2])
def test_each_defect_is_found_where_it_is(name: str, profile: str, seed: int) -> None:
    plan = Plan(seed, events=700, profile=profile, max_entries=512)
    arenas, events, wrong = make_mutated(plan, name)
    made = replay(arenas, events, profile)
    assert [one.seq for one in made.divergences] == [wrong]
    found = made.divergences[0]
    assert found.expected != found.observed
    assert len(found.explanation) > 10


def test_the_sentences_of_the_classic_defects() -> None:
    said = {}
    for name in ("live-page", "deferred-page", "scratch-over-page", "user-scratch"):
        made = replay(*make_mutated(Plan(3, 400), name)[:2])
        said[name] = made.divergences[0].explanation
    assert "live page" in said["live-page"]
    assert "waits for the worker" in said["deferred-page"]
    assert "scratch was installed on a mapped page" in said["scratch-over-page"]
    assert said["user-scratch"] == "user space mapped a scratched page"


# ---- single events ----


def test_failed_operations_change_nothing() -> None:
    script = Script()
    script.alloc(None, 17)
    script.alloc_refused_at(15, 2)
    script.alloc(None, pgoff=3, addr=USER + 3 * PAGE_SIZE + 8)
    script.reserve(15, 2, -22)
    script.add(Kind.PAGE_RESERVE, pgoff=3, pages=4, addr=USER + 3 * PAGE_SIZE + 8, ret=0)
    script.reserve(3, 0)
    script.free(16, 5)
    script.alloc(0, 16)
    script.alloc(None)
    script.alloc_refused_at(3)
    script.reserve(3, 1, -16)
    made = script.replay()
    assert made.divergences == []
    assert made.tally.unknown == made.tally.unexplained == 0


def test_a_free_stops_at_the_end_of_the_user_range() -> None:
    script = Script()
    script.alloc(0, 16)
    script.free(14, 100)
    script.alloc(14, 2)
    assert script.wrong() == []


def test_the_worker_takes_the_latest_free_first() -> None:
    script = Script()
    script.alloc(0, 16)
    for page in (2, 6, 10):
        script.free(page, sleepable=False)
    script.alloc(None)
    script.drain()
    for page in (2, 6, 10):
        script.alloc(page)
    assert script.wrong() == []


def test_a_refusal_without_a_cause_is_counted_but_no_divergence() -> None:
    script = Script()
    script.alloc(None)
    script.user(2, Outcome.SIGSEGV)
    made = script.replay()
    assert made.divergences == []
    assert made.tally.unexplained == 2


def test_zero_lengths_and_impossible_pages_are_divergences() -> None:
    script = Script()
    wrong = [
        script.alloc(None, 0),
        script.free(3, 0),
        script.add(Kind.PAGE_FREE, pgoff=1 << 20, pages=1, sleepable=True),
        script.add(Kind.PAGE_FREE, pgoff=(1 << 32) - 1, pages=1, addr=USER, sleepable=True),
        script.add(Kind.USER_FAULT, pgoff=9999, outcome=Outcome.MAPPED),
        script.add(Kind.PAGE_ALLOC, pgoff=3, pages=1, addr=0, ret=USER + (1 << 32)),
        script.add(Kind.PAGE_ALLOC, pgoff=0, pages=(1 << 32) - 1, addr=0, ret=USER),
        script.reserve(3, 0, -16),
        script.add(Kind.PAGE_RESERVE, pgoff=1 << 25, pages=1, ret=0),
        script.add(Kind.KERNEL_FAULT, pgoff=1 << 25, addr=KERN, outcome=_INSTALLED),
    ]
    assert script.wrong() == wrong


def test_faults_in_the_guards() -> None:
    script = Script()
    script.add(Kind.KERNEL_FAULT, addr=KERN + (1 << 32) + 8, outcome=_INSTALLED, prog=0)
    script.add(Kind.PROG_FAULT, addr=KERN - 8, write=False, outcome=Outcome.ZEROED)
    script.add(Kind.KERNEL_FAULT, addr=KERN - 8, outcome=Outcome.OOPS, prog=0)
    wrong = [
        script.add(Kind.KERNEL_FAULT, addr=KERN - 8, outcome=_INSTALLED, prog=0),
        script.add(Kind.KERNEL_FAULT, addr=KERN + (1 << 32) + 16, outcome=_INSTALLED, prog=0),
        script.add(Kind.KERNEL_FAULT, addr=KERN + (1 << 32) + 0x8000, outcome=_INSTALLED, prog=0),
    ]
    assert script.wrong() == wrong


def test_blame_decides_between_recovery_and_oops() -> None:
    script = Script()
    script.kernel(1, Outcome.OOPS, prog=None)
    script.kernel(2, Outcome.OOPS, prog=7)
    wrong = [script.kernel(3, Outcome.OOPS, prog=0), script.kernel(4, _INSTALLED, prog=7)]
    assert script.wrong() == wrong


def test_two_cpus_may_fill_one_page() -> None:
    script = Script()
    script.kernel(3, _INSTALLED)
    script.tid += 1
    script.kernel(3, _INSTALLED)
    made = script.replay()
    assert made.divergences == []
    assert made.tally.install_races == 1
    script.now += 20_000_000
    script.tid -= 1
    wrong = script.kernel(3, _INSTALLED)
    assert script.wrong() == [wrong]


def test_an_allocation_recorded_before_one_that_was_first() -> None:
    script = Script()
    script.alloc(1)
    script.tid += 1
    script.alloc(0)
    made = script.replay()
    assert made.divergences == []
    assert made.tally.reordered == 1


def test_one_thread_is_never_reordered() -> None:
    script = Script()
    wrong = script.alloc(1)
    script.alloc(0)
    assert script.wrong() == [wrong]


def test_nothing_is_reordered_outside_the_window() -> None:
    script = Script()
    wrong = script.alloc(1)
    script.tid += 1
    script.now += 11_000_000
    script.alloc(0)
    assert script.wrong() == [wrong]


def _free_against_user_fault(others: int, *, alone: bool) -> Script:
    """Whether page 0 is mapped afterwards depends on which was first; it shows much later."""
    script = Script()
    script.alloc(0)
    script.tid += not alone
    script.free(0)
    script.tid -= not alone
    script.user(0, Outcome.MAPPED)
    for _ in range(others):
        script.alloc(1, at=True)
        script.free(1)
    script.prog(0)
    return script


def test_a_race_that_shows_soon_is_settled() -> None:
    made = _free_against_user_fault(20, alone=False).replay()
    assert made.divergences == []
    assert (made.tally.reordered, made.tally.unsettled) == (1, 0)


def test_a_race_that_shows_late_is_unsettled_and_no_divergence() -> None:
    made = _free_against_user_fault(700, alone=False).replay()
    assert made.divergences == []
    assert made.tally.unsettled == 1


@pytest.mark.parametrize("others", [20, 700])
def test_without_a_race_it_is_a_divergence(others: int) -> None:
    script = _free_against_user_fault(others, alone=True)
    assert script.wrong() == [len(script.events) - 1]


def test_an_allocation_although_the_best_fit_is_scratched() -> None:
    script = Script()
    script.alloc(0, 4)
    script.free(1)
    script.kernel(1, _INSTALLED)
    wrong = script.alloc(4)
    (found,) = script.replay("scratch-sticky").divergences
    assert (found.seq, found.page) == (wrong, 4)
    assert "best fit is scratched" in found.expected


def test_an_event_after_the_end_of_the_arena() -> None:
    script = Script()
    script.add(Kind.ARENA_DESTROY)
    script.drain()
    wrong = script.alloc(0)
    assert script.wrong() == [wrong]


# ---- what is not known ----


def test_an_older_arena_is_unknown_until_events_settle_it() -> None:
    script = Script(arena_info(fresh=False), begun=False)
    script.alloc(5)
    script.free(9)
    script.user(3, Outcome.MAPPED)
    script.kernel(7, _INSTALLED)
    assert script.replay().tally.unknown == 3
    wrong = [script.alloc(5), script.prog(3), script.user(7, Outcome.MAPPED)]
    assert script.wrong() == wrong


def test_an_older_arena_freed_whole_is_known_again() -> None:
    script = Script(arena_info(fresh=False), begun=False)
    script.user(0, Outcome.MAPPED)
    script.drain()
    script.free(0, 16)
    for page in range(4):
        script.alloc(page)
    made = script.replay()
    assert made.divergences == []
    assert made.tally.predicted_addresses == 4


def test_a_loss_makes_everything_unknown() -> None:
    script = Script()
    script.alloc(0)
    script.add(Kind.LOST, pages=3, ret=int(Kind.PAGE_FREE))
    script.alloc(0)
    made = script.replay()
    assert made.divergences == []
    assert made.tally.unknown == 1


def test_before_the_user_range_is_fixed_a_refusal_is_no_surprise() -> None:
    script = Script(begun=False)
    script.add(Kind.ARENA_CREATE)
    script.alloc(None)
    script.add(Kind.ARENA_MMAP, ret=0)
    script.alloc(0)
    made = script.replay()
    assert made.divergences == []
    assert made.tally.unknown == 1


def test_a_maple_tree_gives_the_lowest_pages() -> None:
    script = Script()
    script.alloc(0, 8)
    script.free(0, 4)
    script.free(6, 1)
    script.alloc(0)
    assert script.wrong(with_maple(PROFILES["pre-scratch"])) == []
    assert script.wrong("pre-scratch") == [len(script.events) - 1]


def test_memory_follows_the_state_and_not_the_trace() -> None:
    script = Script()
    for _ in range(20_000):
        script.alloc(0)
        script.free(0)
    made = script.replay()
    assert made.tally.predicted_addresses == 20_000
    arena = Arena(PROFILES["scratch-replace"], 64)
    for _ in range(1000):
        arena.allocate(0, 3)
        arena.release(0, 3)
    assert arena.size() == 2


def test_a_synthetic_trace_depends_on_its_plan_alone() -> None:
    plan = Plan(7, 500, threads=2, jitter_ns=500)
    one, two = (make(plan) for _ in range(2))
    assert one[0] == two[0]
    assert list(one[1]) == list(two[1])
    assert list(make(dataclasses.replace(plan, seed=8))[1]) != list(make(plan)[1])


def test_events_in_any_order_never_raise() -> None:
    plan = Plan(11, 600)
    arenas, events = make(plan)
    upside_down: list[SynthEvent] = list(events)[::-1]
    known: list[ArenaInfo] = arenas
    for profile in PROFILES:
        assert replay(known, upside_down, profile).divergences


# ---- NUMA nodes ----


def test_an_impossible_node_is_refused_and_changes_nothing() -> None:
    script = Script(arena_info(nodes=Nodes(2, frozenset({0}))))
    for node in (-2, 2, 1000):
        script.alloc(None, node=node)
    script.alloc(0, node=0)
    script.alloc(1, node=-1)
    made = script.replay()
    assert made.divergences == []
    assert made.tally.unknown == made.tally.unexplained == 0
    wrong = [script.alloc(2, node=-2), script.alloc(2, node=2)]
    assert script.wrong() == wrong


def test_a_node_that_may_be_offline_explains_a_refusal() -> None:
    script = Script(arena_info(nodes=Nodes(2, frozenset({0}))))
    script.alloc(None, node=1)
    script.alloc(0, node=1)
    made = script.replay()
    assert made.divergences == []
    assert made.tally.unexplained == 1


@pytest.mark.parametrize("node", [None, 5])
def test_a_refusal_over_scratch_proves_nothing_if_the_node_may_be_why(node: int | None) -> None:
    script = Script()
    script.kernel(0, _INSTALLED)
    script.alloc(None, node=node)
    made = script.replay()
    assert made.divergences == []
    assert made.proofs == {}
    script = Script()
    script.kernel(0, _INSTALLED)
    script.alloc(None, node=-1)
    assert list(script.replay().proofs) == ["scratch-sticky"]


def test_a_trace_that_says_nothing_of_nodes_still_knows_impossible_ones() -> None:
    assert [Nodes().classify(node) for node in (None, -1, 0, -2, 1024)] == [
        NodeStatus.UNKNOWN,
        NodeStatus.VALID,
        NodeStatus.UNKNOWN,
        NodeStatus.IMPOSSIBLE,
        NodeStatus.IMPOSSIBLE,
    ]
