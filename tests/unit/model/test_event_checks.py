"""Checks of single events: which ones diverge and which ones are allowed."""

from __future__ import annotations

import pytest

from arenatrace.model.kernel.nodes import Nodes, NodeStatus
from arenatrace.model.kernel.profiles import PROFILES, with_maple
from arenatrace.schema import PAGE_SIZE, Kind, Outcome
from tests.unit.model.hand_written_events import KERN, USER, Script, arena_info

_INSTALLED = Outcome.SCRATCH_INSTALLED


def test_failed_operations_change_no_state() -> None:
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


def test_free_stops_at_the_end_of_the_user_range() -> None:
    script = Script()
    script.alloc(0, 16)
    script.free(14, 100)
    script.alloc(14, 2)
    assert script.wrong() == []


def test_worker_takes_the_latest_free_first() -> None:
    script = Script()
    script.alloc(0, 16)
    for page in (2, 6, 10):
        script.free(page, sleepable=False)
    script.alloc(None)
    script.drain()
    for page in (2, 6, 10):
        script.alloc(page)
    assert script.wrong() == []


def test_refusal_without_a_cause_is_counted_and_no_divergence() -> None:
    script = Script()
    script.alloc(None)
    script.user(2, Outcome.SIGSEGV)
    made = script.replay()
    assert made.divergences == []
    assert made.tally.unexplained == 2


def test_zero_counts_and_impossible_pages_diverge() -> None:
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


def test_fault_in_a_guard_is_recovered_only_in_the_upper_half_guard() -> None:
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


def test_blamed_program_decides_between_recovery_and_oops() -> None:
    script = Script()
    script.kernel(1, Outcome.OOPS, prog=None)
    script.kernel(2, Outcome.OOPS, prog=7)
    wrong = [script.kernel(3, Outcome.OOPS, prog=0), script.kernel(4, _INSTALLED, prog=7)]
    assert script.wrong() == wrong


def test_second_scratch_install_is_a_race_only_within_the_race_window() -> None:
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


def test_allocation_elsewhere_diverges_when_the_best_fit_is_scratched() -> None:
    script = Script()
    script.alloc(0, 4)
    script.free(1)
    script.kernel(1, _INSTALLED)
    wrong = script.alloc(4)
    (found,) = script.replay("scratch-sticky").divergences
    assert (found.seq, found.page) == (wrong, 4)
    assert "best fit is scratched" in found.expected


def test_event_after_arena_destroy_diverges() -> None:
    script = Script()
    script.add(Kind.ARENA_DESTROY)
    script.drain()
    wrong = script.alloc(0)
    assert script.wrong() == [wrong]


def test_impossible_node_is_refused_and_changes_no_state() -> None:
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


def test_node_that_may_be_offline_explains_a_refusal() -> None:
    script = Script(arena_info(nodes=Nodes(2, frozenset({0}))))
    script.alloc(None, node=1)
    script.alloc(0, node=1)
    made = script.replay()
    assert made.divergences == []
    assert made.tally.unexplained == 1


@pytest.mark.parametrize("node", [None, 5])
def test_refusal_over_scratch_is_no_proof_when_the_node_may_be_offline(node: int | None) -> None:
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


def test_trace_without_nodes_still_finds_impossible_nodes() -> None:
    assert [Nodes().classify(node) for node in (None, -1, 0, -2, 1024)] == [
        NodeStatus.UNKNOWN,
        NodeStatus.VALID,
        NodeStatus.UNKNOWN,
        NodeStatus.IMPOSSIBLE,
        NodeStatus.IMPOSSIBLE,
    ]


def test_maple_tree_gives_the_lowest_pages() -> None:
    script = Script()
    script.alloc(0, 8)
    script.free(0, 4)
    script.free(6, 1)
    script.alloc(0)
    assert script.wrong(with_maple(PROFILES["pre-scratch"])) == []
    assert script.wrong("pre-scratch") == [len(script.events) - 1]
