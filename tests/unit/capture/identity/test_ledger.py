"""Stacks and symbols in the ledger, and where each note goes."""

from __future__ import annotations

from arenatrace.capture.identity.ledger import Ledger
from arenatrace.capture.ring.notes import SymbolNote
from tests.unit.capture.ring.make_notes import PTR, arena_note, prog_note, stack_note


def _ledger() -> Ledger:
    return Ledger({}, set())


def test_stack_starts_at_the_faulting_instruction() -> None:
    ledger = _ledger()
    number = ledger.stacks.of_fault((90, 91, 10, 11, 12), 10)
    assert ledger.stacks.rows == [{"stack": number, "frames": [10, 11, 12]}]


def test_instruction_missing_from_the_stack_is_put_on_top() -> None:
    ledger = _ledger()
    number = ledger.stacks.of_fault((90, 91), 10)
    assert ledger.stacks.rows == [{"stack": number, "frames": [10, 90, 91]}]


def test_empty_stack_is_its_instruction() -> None:
    ledger = _ledger()
    ledger.stacks.of_fault((), 10)
    assert ledger.stacks.rows[0]["frames"] == [10]


def test_recurring_instruction_matches_innermost_frame() -> None:
    ledger = _ledger()
    ledger.stacks.of_fault((90, 10, 11, 10, 12), 10)
    assert ledger.stacks.rows[0]["frames"] == [10, 11, 10, 12]


def test_equal_stacks_have_one_id_and_one_row() -> None:
    """Frames above the faulting instruction are ignored."""
    ledger = _ledger()
    first = ledger.stacks.of_fault((90, 10, 11), 10)
    assert ledger.stacks.of_fault((91, 92, 10, 11), 10) == first
    assert ledger.stacks.of_fault((10, 11, 12), 10) != first
    assert ledger.stacks.of_fault((10, 11), 11) != first
    assert len(ledger.stacks.rows) == 3
    assert 0 not in {row["stack"] for row in ledger.stacks.rows}


def test_ids_continue_after_rows_are_written() -> None:
    ledger = _ledger()
    first = ledger.stacks.of_fault((10,), 10)
    ledger.stacks.rows.clear()
    assert ledger.stacks.of_fault((10,), 10) == first
    assert ledger.stacks.rows == []
    assert ledger.stacks.of_fault((11,), 11) != first


def test_stack_note_is_claimed_once_by_time_cpu_and_thread() -> None:
    ledger = _ledger()
    note = stack_note(5, cpu=1, tid=2)
    ledger.note(note)
    assert ledger.claim_stack(6, 1, 2) is None
    assert ledger.claim_stack(5, 0, 2) is None
    assert ledger.claim_stack(5, 1, 3) is None
    assert ledger.claim_stack(5, 1, 2) is note
    assert ledger.claim_stack(5, 1, 2) is None


def test_symbol_becomes_a_row() -> None:
    ledger = _ledger()
    ledger.note(SymbolNote(5, 0x1000, "f", 9, 0x20, "mod"))
    assert ledger.symbol_rows == [
        {"ts_ns": 5, "addr": 0x1000, "name": "f", "offset": 9, "size": 0x20, "module": "mod"}
    ]


def test_arena_and_program_notes_reach_their_tables() -> None:
    ledger = _ledger()
    ledger.note(arena_note(5, preexisting=True))
    ledger.note(prog_note(6, preexisting=True, arena=PTR))
    assert ledger.arenas.rows[0]["ptr"] == PTR
    assert ledger.programs.rows[0]["arena"] == 0
