"""Search for another order of events where threads overlap."""

from __future__ import annotations

import pytest

from arenatrace.schema import Outcome
from tests.unit.model.hand_written_events import Script


def test_reorder_explains_two_allocations_of_two_threads() -> None:
    script = Script()
    script.alloc(1)
    script.tid += 1
    script.alloc(0)
    made = script.replay()
    assert made.divergences == []
    assert made.tally.reordered == 1


def test_events_of_one_thread_are_never_reordered() -> None:
    script = Script()
    wrong = script.alloc(1)
    script.alloc(0)
    assert script.wrong() == [wrong]


def test_events_outside_the_reorder_window_are_never_reordered() -> None:
    script = Script()
    wrong = script.alloc(1)
    script.tid += 1
    script.now += 11_000_000
    script.alloc(0)
    assert script.wrong() == [wrong]


def _free_against_user_fault(others: int, *, alone: bool) -> Script:
    """Return a race on page 0 whose result is seen ``others`` allocations later."""
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


def test_race_is_reordered_when_its_contradiction_is_near() -> None:
    made = _free_against_user_fault(20, alone=False).replay()
    assert made.divergences == []
    assert (made.tally.reordered, made.tally.unsettled) == (1, 0)


def test_race_is_unsettled_when_its_contradiction_is_far() -> None:
    made = _free_against_user_fault(700, alone=False).replay()
    assert made.divergences == []
    assert made.tally.unsettled == 1


@pytest.mark.parametrize("others", [20, 700])
def test_contradiction_without_a_race_diverges(others: int) -> None:
    script = _free_against_user_fault(others, alone=True)
    assert script.wrong() == [len(script.events) - 1]
