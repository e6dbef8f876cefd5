"""Which arena a pointer means, as arenas come, go and leave their pointers to others."""

from __future__ import annotations

from typing import Any

import pytest

from arenatrace.capture.identity.arenas import Arenas
from arenatrace.schema import BAND_SZ, GUARD_SZ
from tests.unit.capture.ring.make_notes import KERN_VM, PTR, arena_note, merged

KERN = KERN_VM + GUARD_SZ // 2
USER = 0x7F00_1000_0000


def _table(arenas: Arenas) -> dict[int, dict[str, Any]]:
    return merged(arenas.rows, "arena")


def test_an_arena_made_mapped_and_ended_while_recording() -> None:
    """The creation's note has no id; the one of the mapping brings it."""
    arenas = Arenas()
    arenas.note(arena_note(9))
    arenas.note(arena_note(19, user_vm_start=USER, id=77))
    assert arenas.created(PTR, 10) == 0
    assert (arenas.kern_vm_start, arenas.user_vm_start) == ([KERN], [0])
    assert arenas.mapped(PTR, 20) == 0
    assert arenas.user_vm_start == [USER]
    assert arenas.destroyed(PTR, 30) == 0
    assert _table(arenas) == {
        0: {
            "arena": 0,
            "ptr": PTR,
            "generation": 0,
            "map_id": 77,
            "name": "arena",
            "kern_vm_start": KERN,
            "user_vm_start": USER,
            "max_entries": 16,
            "map_flags": 0x400,
            "preexisting": False,
            "create_ts_ns": 10,
            "destroy_ts_ns": 30,
        }
    }


def test_a_pointer_used_again_is_another_arena() -> None:
    """All notes of both are read before the first event, as in one drain."""
    arenas = Arenas()
    arenas.note(arena_note(9, name="old"))
    arenas.note(arena_note(19, name="old", user_vm_start=USER, id=1))
    arenas.note(arena_note(39, name="new", kern_vm_addr=KERN_VM + (1 << 33)))
    assert arenas.created(PTR, 10) == 0
    assert arenas.mapped(PTR, 20) == 0
    assert arenas.destroyed(PTR, 30) == 0
    assert arenas.created(PTR, 40) == 1
    assert arenas.index(PTR) == 1
    old, new = _table(arenas)[0], _table(arenas)[1]
    assert (old["name"], old["generation"], old["kern_vm_start"]) == ("old", 0, KERN)
    assert (new["name"], new["generation"], new["kern_vm_start"]) == ("new", 1, KERN + (1 << 33))
    assert "user_vm_start" not in new
    assert arenas.user_vm_start == [USER, 0]


@pytest.mark.parametrize("mmap_event", [True, False], ids=["mapped", "mapping lost"])
def test_after_a_lost_end_nothing_is_inherited(mmap_event: bool) -> None:
    arenas = Arenas()
    arenas.note(arena_note(9, name="old"))
    arenas.note(arena_note(19, name="old", user_vm_start=USER, id=1))
    arenas.created(PTR, 10)
    if mmap_event:
        arenas.mapped(PTR, 20)
    arenas.note(arena_note(39, name="new"))
    assert arenas.created(PTR, 40) == 1
    new = _table(arenas)[1]
    assert new["name"] == "new"
    assert "user_vm_start" not in new
    assert "map_id" not in new


def test_every_note_is_written_once() -> None:
    """An arena that is mapped n times takes on the order of n rows, not of n squared."""
    arenas = Arenas()
    arenas.created(PTR, 10)
    for n in range(100):
        arenas.note(arena_note(11 + 2 * n, user_vm_start=USER, id=1))
        arenas.mapped(PTR, 12 + 2 * n)
    assert len(arenas.rows) == 101


def test_an_enumerated_arena_was_there_before() -> None:
    arenas = Arenas()
    arenas.note(arena_note(5, preexisting=True, user_vm_start=USER, id=3))
    row = _table(arenas)[0]
    assert (row["preexisting"], row["map_id"], row["user_vm_start"]) == (True, 3, USER)
    assert "create_ts_ns" not in row
    assert arenas.index(PTR) == 0


def test_created_while_recording_began() -> None:
    """Enumerated at 5, but its creation at 3 is still in the event ring: one arena, ours."""
    arenas = Arenas()
    arenas.note(arena_note(2))
    arenas.note(arena_note(5, preexisting=True, id=3))
    assert arenas.created(PTR, 3) == 0
    row = _table(arenas)[0]
    assert (row["preexisting"], row["create_ts_ns"], row["map_id"]) == (False, 3, 3)
    assert len(_table(arenas)) == 1


def test_created_after_the_enumeration_is_another_arena() -> None:
    """Enumerated at 5, end lost, created at 8: the pointer has changed hands."""
    arenas = Arenas()
    arenas.note(arena_note(5, preexisting=True, id=3))
    arenas.note(arena_note(7))
    assert arenas.created(PTR, 8) == 1
    assert _table(arenas)[1]["preexisting"] is False


def test_a_pointer_never_heard_of_was_there_before() -> None:
    arenas = Arenas()
    assert arenas.index(PTR) == 0
    assert arenas.index(PTR + 8) == 1
    assert arenas.index(PTR) == 0
    assert [row["preexisting"] for row in _table(arenas).values()] == [True, True]


def test_the_end_of_a_pointer_never_heard_of() -> None:
    arenas = Arenas()
    assert arenas.destroyed(PTR, 30) == 0
    assert _table(arenas)[0]["destroy_ts_ns"] == 30
    assert arenas.created(PTR, 40) == 1


@pytest.mark.parametrize(
    ("offset", "found"),
    [
        (-GUARD_SZ // 2 - 1, None),
        (-GUARD_SZ // 2, 0),
        (0, 0),
        (BAND_SZ - 1, 0),
        (BAND_SZ + GUARD_SZ // 2 - 1, 0),
        (BAND_SZ + GUARD_SZ // 2, None),
    ],
)
def test_the_arena_at_an_address(offset: int, found: int | None) -> None:
    """The band and both halves of the guard, to the byte."""
    arenas = Arenas()
    arenas.note(arena_note(5, preexisting=True))
    assert arenas.at_address(KERN + offset) == found


def test_no_arena_at_the_address_of_one_that_ended_or_is_unknown() -> None:
    arenas = Arenas()
    arenas.note(arena_note(5, preexisting=True))
    arenas.destroyed(PTR, 6)
    arenas.index(PTR + 8)
    assert arenas.at_address(KERN) is None
    assert arenas.at_address(0) is None


def test_a_note_of_the_same_nanosecond_is_the_events_own() -> None:
    arenas = Arenas()
    arenas.note(arena_note(10))
    arenas.created(PTR, 10)
    assert arenas.kern_vm_start == [KERN]
