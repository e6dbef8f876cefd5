"""Arenas with unknown state: older than the trace, after a loss, without a user range."""

from __future__ import annotations

from arenatrace.schema import Kind, Outcome
from tests.unit.model.hand_written_events import Script, arena_info

_INSTALLED = Outcome.SCRATCH_INSTALLED


def test_older_arena_is_unknown_until_events_show_its_state() -> None:
    script = Script(arena_info(fresh=False), begun=False)
    script.alloc(5)
    script.free(9)
    script.user(3, Outcome.MAPPED)
    script.kernel(7, _INSTALLED)
    assert script.replay().tally.unknown == 3
    wrong = [script.alloc(5), script.prog(3), script.user(7, Outcome.MAPPED)]
    assert script.wrong() == wrong


def test_older_arena_is_known_after_a_free_of_all_pages() -> None:
    script = Script(arena_info(fresh=False), begun=False)
    script.user(0, Outcome.MAPPED)
    script.drain()
    script.free(0, 16)
    for page in range(4):
        script.alloc(page)
    made = script.replay()
    assert made.divergences == []
    assert made.tally.predicted_addresses == 4


def test_loss_makes_all_state_unknown() -> None:
    script = Script()
    script.alloc(0)
    script.add(Kind.LOST, pages=3, ret=int(Kind.PAGE_FREE))
    script.alloc(0)
    made = script.replay()
    assert made.divergences == []
    assert made.tally.unknown == 1


def test_refusal_before_the_user_range_is_fixed_is_unknown() -> None:
    script = Script(begun=False)
    script.add(Kind.ARENA_CREATE)
    script.alloc(None)
    script.add(Kind.ARENA_MMAP, ret=0)
    script.alloc(0)
    made = script.replay()
    assert made.divergences == []
    assert made.tally.unknown == 1
