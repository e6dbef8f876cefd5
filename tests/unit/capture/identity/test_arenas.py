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


def test_arena_lifetime_within_a_recording() -> None:
    """The note of the creation has no id; the note of the mapping has it."""
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


def test_reused_pointer_is_another_arena() -> None:
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
def test_arena_inherits_nothing_after_a_lost_destroy_event(mmap_event: bool) -> None:
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


def test_each_note_is_written_once() -> None:
    """An arena that is mapped n times takes on the order of n rows, not of n squared."""
    arenas = Arenas()
    arenas.created(PTR, 10)
    for n in range(100):
        arenas.note(arena_note(11 + 2 * n, user_vm_start=USER, id=1))
        arenas.mapped(PTR, 12 + 2 * n)
    assert len(arenas.rows) == 101


def test_enumerated_arena_is_preexisting() -> None:
    arenas = Arenas()
    arenas.note(arena_note(5, preexisting=True, user_vm_start=USER, id=3))
    row = _table(arenas)[0]
    assert (row["preexisting"], row["map_id"], row["user_vm_start"]) == (True, 3, USER)
    assert "create_ts_ns" not in row
    assert arenas.index(PTR) == 0


def test_arena_is_one_when_create_event_follows_enumeration() -> None:
    """Enumerated at 5, but its creation at 3 is still in the event ring: one arena, ours."""
    arenas = Arenas()
    arenas.note(arena_note(2))
    arenas.note(arena_note(5, preexisting=True, id=3))
    assert arenas.created(PTR, 3) == 0
    row = _table(arenas)[0]
    assert (row["preexisting"], row["create_ts_ns"], row["map_id"]) == (False, 3, 3)
    assert len(_table(arenas)) == 1


def test_creation_after_enumeration_is_another_arena() -> None:
    """Enumerated at 5, end lost, created at 8: the pointer was reused."""
    arenas = Arenas()
    arenas.note(arena_note(5, preexisting=True, id=3))
    arenas.note(arena_note(7))
    assert arenas.created(PTR, 8) == 1
    assert _table(arenas)[1]["preexisting"] is False


def test_unknown_pointer_is_a_preexisting_arena() -> None:
    arenas = Arenas()
    assert arenas.index(PTR) == 0
    assert arenas.index(PTR + 8) == 1
    assert arenas.index(PTR) == 0
    assert [row["preexisting"] for row in _table(arenas).values()] == [True, True]


def test_destroy_of_unknown_pointer_makes_an_arena() -> None:
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
def test_arena_at_address(offset: int, found: int | None) -> None:
    """The band and both halves of the guard, to the byte."""
    arenas = Arenas()
    arenas.note(arena_note(5, preexisting=True))
    assert arenas.at_address(KERN + offset) == found


def test_no_arena_at_address_when_it_ended_or_is_unknown() -> None:
    arenas = Arenas()
    arenas.note(arena_note(5, preexisting=True))
    arenas.destroyed(PTR, 6)
    arenas.index(PTR + 8)
    assert arenas.at_address(KERN) is None
    assert arenas.at_address(0) is None


def test_note_with_the_timestamp_of_the_event_belongs_to_it() -> None:
    arenas = Arenas()
    arenas.note(arena_note(10))
    arenas.created(PTR, 10)
    assert arenas.kern_vm_start == [KERN]
