"""Which program a code address means, and what the trace says of it."""

from __future__ import annotations

from typing import Any

import pytest

from arenatrace.capture.identity.arenas import Arenas
from arenatrace.capture.identity.programs import Programs, full_name
from arenatrace.capture.ring.notes import FuncNote, LinesNote, StringsNote
from tests.unit.capture.ring.make_notes import AUX, PTR, START, TAG, merged, prog_note, stack_note

TYPES = {31: "syscall"}
STRINGS = b"\0src/a.bpf.c\0\tx = *p;\0"
FILE, TEXT = 1, 13


def _programs(own_ids: frozenset[int] = frozenset()) -> Programs:
    return Programs(Arenas(), TYPES, set(own_ids))


def _table(programs: Programs) -> dict[int, dict[str, Any]]:
    return merged(programs.rows, "prog")


def test_program_row_has_functions_and_lines() -> None:
    programs = _programs()
    programs.note(FuncNote(AUX, START + 0x200, START + 0x300, "bpf_prog_ab_sub"))
    programs.note(LinesNote(AUX, 0, ((START + 8, FILE, TEXT, 7, 3),)))
    programs.note(StringsNote(7, 0, len(STRINGS), STRINGS))
    programs.note(prog_note(9, arena=PTR))
    assert programs.rows == []
    assert programs.loaded(START, 10) == 0
    assert programs.unloaded(START, 20) == 0
    assert _table(programs) == {
        0: {
            "prog": 0,
            "id": 5,
            "name": "fifteen_letters_and_more",
            "tag": TAG,
            "type": "syscall",
            "arena": 0,
            "own": False,
            "preexisting": False,
            "load_ts_ns": 10,
            "unload_ts_ns": 20,
            "funcs": [
                {
                    "name": f"bpf_prog_{TAG}_fifteen_letters_and_more",
                    "start": START,
                    "end": START + 0x100,
                },
                {"name": "bpf_prog_ab_sub", "start": START + 0x200, "end": START + 0x300},
            ],
            "lines": [
                {"addr": START + 8, "file": "src/a.bpf.c", "line": 7, "col": 3, "text": "x = *p;"}
            ],
        }
    }


def test_note_with_the_timestamp_of_the_event_belongs_to_it() -> None:
    programs = _programs()
    programs.note(prog_note(10))
    programs.loaded(START, 10)
    assert _table(programs)[0]["id"] == 5


def test_reused_code_address_is_another_program() -> None:
    programs = _programs()
    programs.note(prog_note(9, id=5))
    programs.note(prog_note(29, id=6))
    assert programs.loaded(START, 10) == 0
    assert programs.unloaded(START, 20) == 0
    assert programs.loaded(START, 30) == 1
    assert programs.index(START, None) == 1
    assert [row["id"] for row in _table(programs).values()] == [5, 6]


def test_reused_key_keeps_both_programs_apart() -> None:
    """Two successive programs have the same bpf_prog_aux within one drain."""
    programs = _programs()
    other = START + 0x1000
    for start, ts_ns in ((START, 9), (other, 29)):
        programs.note(FuncNote(AUX, start + 0x200, start + 0x300, f"sub_{ts_ns}"))
        programs.note(LinesNote(AUX, 0, ((start, FILE, TEXT, ts_ns, 1),)))
        programs.note(prog_note(ts_ns, start=start, end=start + 0x100))
    programs.loaded(START, 10)
    programs.unloaded(START, 20)
    programs.loaded(other, 30)
    for row, ts_ns in zip(_table(programs).values(), (9, 29), strict=True):
        assert [func["name"] for func in row["funcs"][1:]] == [f"sub_{ts_ns}"]
        assert [line["line"] for line in row["lines"]] == [ts_ns]


def test_unloaded_program_no_longer_matches() -> None:
    programs = _programs()
    programs.note(prog_note(9))
    programs.loaded(START, 10)
    programs.unloaded(START, 20)
    assert programs.unloaded(START, 21) is None
    assert programs.index(START, None) == 1


def test_enumerated_program_is_preexisting() -> None:
    programs = _programs()
    programs.note(prog_note(5, preexisting=True))
    row = _table(programs)[0]
    assert row["preexisting"] is True
    assert "load_ts_ns" not in row
    assert programs.index(START, None) == 0


def test_program_is_one_when_load_event_follows_enumeration() -> None:
    """Enumerated at 5, its load at 3 still in the event ring: one program, loaded at 3."""
    programs = _programs()
    programs.note(prog_note(2))
    programs.note(prog_note(5, preexisting=True))
    assert programs.loaded(START, 3) == 0
    row = _table(programs)[0]
    assert (row["preexisting"], row["load_ts_ns"]) == (False, 3)
    assert len(_table(programs)) == 1


def test_load_after_enumeration_is_another_program() -> None:
    programs = _programs()
    programs.note(prog_note(5, preexisting=True, id=5))
    programs.note(prog_note(7, id=6))
    assert programs.loaded(START, 8) == 1
    assert [row["id"] for row in _table(programs).values()] == [5, 6]


def test_enumeration_after_load_event_is_the_same_program() -> None:
    programs = _programs()
    programs.note(prog_note(2))
    programs.loaded(START, 3)
    programs.note(FuncNote(AUX, 1, 2, "again"))
    programs.note(prog_note(5, preexisting=True))
    assert programs.index(START, None) == 0
    assert len(programs.rows) == 1
    # the parts of the second note do not go to the next program with this key
    programs.unloaded(START, 6)
    programs.note(prog_note(7))
    programs.loaded(START, 8)
    assert len(_table(programs)[1]["funcs"]) == 1


@pytest.mark.parametrize("load_seen", [True, False])
def test_stack_describes_program_when_its_notes_are_lost(load_seen: bool) -> None:
    programs = _programs()
    if load_seen:
        programs.loaded(START, 10)
    stack = stack_note(arena=PTR)
    assert programs.index(START, stack) == 0
    assert programs.index(START, stack) == 0
    row = _table(programs)[0]
    assert (row["id"], row["name"], row["tag"], row["arena"]) == (5, "fifteen_letters", TAG, 0)
    assert row["funcs"] == [{"name": None, "start": START, "end": START + 0x100}]
    assert row.get("load_ts_ns") == (10 if load_seen else None)
    assert len(programs.rows) == 2


def test_stack_does_not_describe_a_known_program() -> None:
    programs = _programs()
    programs.note(prog_note(5, preexisting=True))
    programs.index(START, stack_note())
    assert len(programs.rows) == 1


def test_stack_of_another_program_is_ignored() -> None:
    programs = _programs()
    programs.index(START, stack_note(start=START + 0x1000))
    assert _table(programs) == {0: {"prog": 0}}


def test_own_programs_are_marked_and_have_no_lines() -> None:
    programs = _programs(frozenset({5}))
    programs.note(LinesNote(AUX, 0, ((START, FILE, TEXT, 1, 1),)))
    programs.note(prog_note(5, preexisting=True))
    row = _table(programs)[0]
    assert row["own"] is True
    assert row["lines"] == []


def test_unknown_type_and_missing_arena_are_null() -> None:
    programs = _programs()
    programs.note(prog_note(5, preexisting=True, type=999))
    assert programs.rows[0]["type"] is None
    assert programs.rows[0]["arena"] is None


def test_short_name_is_used_when_symbol_has_none() -> None:
    programs = _programs()
    programs.note(prog_note(5, preexisting=True, ksym=f"bpf_prog_{TAG}"))
    assert programs.rows[0]["name"] == "fifteen_letters"


def test_lines_are_sorted_and_have_addresses() -> None:
    programs = _programs()
    rows = tuple((addr, FILE, TEXT, addr, 1) for addr in (0x30, 0, 0x10))
    programs.note(LinesNote(AUX, 64, rows))
    programs.note(LinesNote(AUX, 0, ((0x20, FILE, TEXT, 0x20, 1),)))
    programs.note(prog_note(5, preexisting=True))
    assert [line["addr"] for line in programs.rows[0]["lines"]] == [0x10, 0x20, 0x30]


def _lines(strings: list[StringsNote], row: tuple[int, int, int, int, int]) -> dict[str, Any]:
    programs = _programs()
    for note in strings:
        programs.note(note)
    programs.note(LinesNote(AUX, 0, (row,)))
    programs.note(prog_note(5, preexisting=True))
    (line,) = programs.rows[0]["lines"]
    assert isinstance(line, dict)
    return line


def test_strings_are_joined_in_any_order() -> None:
    pieces = [
        StringsNote(7, 8, len(STRINGS), STRINGS[8:]),
        StringsNote(7, 0, len(STRINGS), STRINGS[:8]),
    ]
    line = _lines(pieces, (8, FILE, TEXT, 1, 1))
    assert (line["file"], line["text"]) == ("src/a.bpf.c", "x = *p;")


def test_missing_strings_are_null() -> None:
    line = _lines([], (8, FILE, TEXT, 7, 3))
    assert line == {"addr": 8, "file": None, "line": 7, "col": 3, "text": None}


def test_strings_of_another_btf_object_are_not_used() -> None:
    line = _lines([StringsNote(8, 0, len(STRINGS), STRINGS)], (8, FILE, TEXT, 7, 3))
    assert line["file"] is None


def test_lost_piece_of_strings_is_null() -> None:
    line = _lines([StringsNote(7, 13, len(STRINGS), STRINGS[13:])], (8, FILE, TEXT, 7, 3))
    assert (line["file"], line["text"]) == (None, "x = *p;")


@pytest.mark.parametrize("offset", [0, len(STRINGS), len(STRINGS) + 1, 0xFFFFFFFF])
def test_text_outside_the_strings_is_null(offset: int) -> None:
    line = _lines([StringsNote(7, 0, len(STRINGS), STRINGS)], (8, offset, offset, 0, 0))
    assert line == {"addr": 8, "file": None, "line": None, "col": None, "text": None}


@pytest.mark.parametrize(
    ("ksym", "name"),
    [
        (f"bpf_prog_{TAG}_set_cmask", "set_cmask"),
        (f"bpf_prog_{TAG}_with_under_scores", "with_under_scores"),
        (f"bpf_prog_{TAG}_", None),
        (f"bpf_prog_{TAG}", None),
        ("bpf_prog_ffffffffffffffff_x", None),
        ("", None),
    ],
)
def test_full_name(ksym: str, name: str | None) -> None:
    assert full_name(ksym, TAG) == name
