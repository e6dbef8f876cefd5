"""Replay of whole synthetic traces: valid ones, overlapping threads, and known defects."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arenatrace.model.kernel.arena import Arena
from arenatrace.model.kernel.profiles import PROFILES, with_maple
from arenatrace.model.ops import ArenaInfo
from arenatrace.model.replay.checker import Checker
from arenatrace.model.replay.fast_path import run
from arenatrace.model.synth.event_log import Plan, SynthEvent
from arenatrace.model.synth.mutate import MUTATIONS, make_mutated
from arenatrace.model.synth.synthesize import make
from arenatrace.schema import Kind
from tests.runs import runs
from tests.unit.model.hand_written_events import Script, replay, segments


@settings(max_examples=runs(700), deadline=None)
@given(st.integers(0, 1 << 40), st.sampled_from(sorted(PROFILES)), st.sampled_from((64, 700)))
def test_valid_trace_never_diverges(seed: int, profile: str, pages: int) -> None:
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
def test_overlap_of_a_thread_and_the_worker_never_diverges(seed: int, profile: str) -> None:
    plan = Plan(seed, events=1200, profile=profile, threads=1, jitter_ns=3000)
    made = replay(*make(plan), profile)
    assert made.divergences == []


@settings(max_examples=runs(6), deadline=None)
@given(st.integers(0, 1 << 40), st.sampled_from((2, 4)))
def test_overlap_of_threads_never_diverges(seed: int, threads: int) -> None:
    plan = Plan(seed, events=800, threads=threads, jitter_ns=2000)
    assert replay(*make(plan)).divergences == []


@settings(max_examples=runs(150), deadline=None)
@given(st.integers(0, 1 << 40), st.sampled_from(sorted(PROFILES)), st.booleans())
def test_fast_path_equals_checker_on_a_whole_trace(seed: int, profile: str, maple: bool) -> None:
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
def test_defect_is_found_at_its_event(name: str, profile: str, seed: int) -> None:
    plan = Plan(seed, events=700, profile=profile, max_entries=512)
    arenas, events, wrong = make_mutated(plan, name)
    made = replay(arenas, events, profile)
    assert [one.seq for one in made.divergences] == [wrong]
    found = made.divergences[0]
    assert found.expected != found.observed
    assert len(found.explanation) > 10


def test_explanation_names_the_defect() -> None:
    explanations = {}
    for name in ("live-page", "deferred-page", "scratch-over-page", "user-scratch"):
        made = replay(*make_mutated(Plan(3, 400), name)[:2])
        explanations[name] = made.divergences[0].explanation
    assert "live page" in explanations["live-page"]
    assert "waits for the worker" in explanations["deferred-page"]
    assert "scratch was installed on a mapped page" in explanations["scratch-over-page"]
    assert explanations["user-scratch"] == "user space mapped a scratched page"


def test_memory_follows_the_state_and_not_the_trace_length() -> None:
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


def test_synthetic_trace_depends_only_on_its_plan() -> None:
    plan = Plan(7, 500, threads=2, jitter_ns=500)
    one, two = (make(plan) for _ in range(2))
    assert one[0] == two[0]
    assert list(one[1]) == list(two[1])
    assert list(make(dataclasses.replace(plan, seed=8))[1]) != list(make(plan)[1])


def test_replay_of_reversed_events_diverges_without_an_exception() -> None:
    plan = Plan(11, 600)
    arenas, events = make(plan)
    upside_down: list[SynthEvent] = list(events)[::-1]
    known: list[ArenaInfo] = arenas
    for profile in PROFILES:
        assert replay(known, upside_down, profile).divergences
