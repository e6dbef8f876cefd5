"""Decoding batches: sequence numbers, names, stacks, and reused pointers."""

from __future__ import annotations

import pytest

from arenatrace.capture.decode.decoder import Decoder
from arenatrace.capture.probes.losses import Loss
from arenatrace.capture.ring.notes import PageStackNote, SymbolNote
from arenatrace.schema import Kind
from arenatrace.trace.arrow_schema import arrow_schema
from tests.unit.capture.decode.decoding import (
    IP,
    KERNEL,
    USER,
    decode_one,
    decode_rows,
    new_decoder,
    new_ledger,
)
from tests.unit.capture.decode.make_records import event, records
from tests.unit.capture.ring.make_notes import (
    KERN_VM,
    PTR,
    START,
    arena_note,
    stack_note,
)


def test_loss_row() -> None:
    decoder = new_decoder()
    (row,) = decode_rows(decoder.lost(Loss(int(Kind.PAGE_ALLOC), 1234, 70, 77)))
    nulls = dict.fromkeys(arrow_schema("events").names)
    expected = {"seq": 0, "kind": 13, "pages": 1234, "ret": 4}
    assert row == {**nulls, "ts_ns": 77, "since_ts_ns": 70, **expected}
    assert decoder.counts[Kind.LOST] == 1


def test_counts_by_kind() -> None:
    decoder = new_decoder()
    decoder.batch(records(event(Kind.PAGE_FREE, arena=PTR), event(Kind.PAGE_FREE, arena=PTR)))
    decoder.batch(records(event(Kind.FREE_DRAIN, arena=PTR)))
    known = {kind: count for kind, count in decoder.counts.items() if count}
    assert known == {Kind.PAGE_FREE: 2, Kind.FREE_DRAIN: 1}
    assert set(decoder.counts) == set(Kind)


def test_seq_has_no_gaps() -> None:
    """Over batches, dropped records and rows of losses."""
    decoder = new_decoder()
    free = event(Kind.PAGE_FREE, arena=PTR)
    unrelated = event(Kind.KERNEL_FAULT, addr=0x10)
    batches = [
        decoder.batch(records(free, unrelated, free)),
        decoder.batch(records(unrelated)),
        decoder.lost(Loss(4, 1, 1, 1)),
        decoder.batch(records(free)),
    ]
    rows = [row for batch in batches if batch is not None for row in decode_rows(batch)]
    assert [row["seq"] for row in rows] == [0, 1, 2, 3]


def test_no_records_give_no_batch() -> None:
    assert new_decoder().batch(records()) is None


@pytest.mark.parametrize(
    ("comm", "text"),
    [
        (b"task", "task"),
        (b"", ""),
        (b"a\xffb", "a\\xffb"),
        ("é".encode(), "é"),
        (b"sixteen_letters_", "sixteen_letters_"),
        (b"cut\0rest", "cut"),
    ],
)
def test_comm(comm: bytes, text: str) -> None:
    assert decode_one(new_decoder(), event(Kind.FREE_DRAIN, arena=PTR, comm=comm))["comm"] == text


def test_task_names_that_display_alike_decode() -> None:
    """The name of one task may equal the escaped bytes of another."""
    names = (b"a\\xff", b"a\xff", b"b\0c", b"b")
    batch = new_decoder().batch(
        records(*(event(Kind.FREE_DRAIN, arena=PTR, comm=comm) for comm in names))
    )
    assert [row["comm"] for row in decode_rows(batch)] == ["a\\xff", "a\\xff", "b", "b"]


def test_fault_takes_its_own_stack() -> None:
    ledger = new_ledger()
    ledger.note(stack_note(1000, cpu=6, tid=41, frames=(90, IP, 91)))
    ledger.note(stack_note(1000, cpu=7, tid=41, frames=(92,)))
    decoder = Decoder(ledger)
    row = decode_one(decoder, {**KERNEL, "stack": 1})
    assert ledger.stacks.rows == [{"stack": row["stack"], "frames": [IP, 91]}]


@pytest.mark.parametrize("stack", [0, 1], ids=["none was sent", "it was lost"])
def test_fault_has_no_stack_when_none_was_sent_or_it_was_lost(stack: int) -> None:
    ledger = new_ledger()
    if not stack:
        ledger.note(stack_note(1000, cpu=6, tid=41, frames=(1,)))
    decoder = Decoder(ledger)
    assert decode_one(decoder, {**KERNEL, "stack": stack})["stack"] is None
    assert ledger.stacks.rows == []


def test_page_operation_has_the_stack_of_its_hash() -> None:
    ledger = new_ledger()
    # room for the stack was taken before its symbols were sent
    ledger.note(PageStackNote(7 << 60, (90, 91, 92, 94)))
    ledger.note(SymbolNote(0, 91, "bpf_trampoline_64425", 4, 9, None))
    ledger.note(PageStackNote(8, (90, 93)))
    decoder = Decoder(ledger)
    batch = decoder.batch(
        records(
            event(Kind.PAGE_ALLOC, arena=PTR, ip=7 << 60),
            event(Kind.PAGE_FREE, arena=PTR, ip=8),
            event(Kind.PAGE_ALLOC, arena=PTR, ip=7 << 60),
            event(Kind.PAGE_RESERVE, arena=PTR, ip=9),
            event(Kind.FREE_DRAIN, arena=PTR, ip=8),
        )
    )
    frames = {row["stack"]: row["frames"] for row in ledger.stacks.rows}
    # the probe itself and what the kernel calls it from are left off
    assert [frames.get(row["stack"]) for row in decode_rows(batch)] == [
        *([92, 94], [90, 93], [92, 94], None, None)
    ]
    assert [row["ip"] for row in decode_rows(batch)] == [None] * 5


def test_stacks_are_written_to_every_new_file() -> None:
    ledger = new_ledger()
    ledger.note(PageStackNote(8, (90, 93)))
    decoder = Decoder(ledger)
    free = event(Kind.PAGE_FREE, arena=PTR, ip=8)
    before = decode_one(decoder, free)["stack"]
    ledger.stacks.rows.clear()
    ledger.stacks.start_files()
    # sent while the probe still used the old files, so its stack note is in those
    after = decode_one(decoder, free)["stack"]
    assert ledger.stacks.rows == [{"stack": after, "frames": [90, 93]}]
    assert after != before


def test_program_is_described_by_the_fault_stack() -> None:
    ledger = new_ledger()
    start = START + 0x9000
    ledger.note(stack_note(1000, cpu=6, tid=41, start=start, name="late", arena=PTR))
    ledger.programs.rows.clear()
    row = decode_one(Decoder(ledger), {**KERNEL, "ret": start, "stack": 1})
    (named,) = [row for row in ledger.programs.rows if row.get("name")]
    assert (named["prog"], named["name"]) == (row["prog"], "late")


def test_pointer_is_reused_between_two_rows() -> None:
    ledger = new_ledger()
    ledger.note(arena_note(1002, kern_vm_addr=KERN_VM + (1 << 33)))
    ledger.note(arena_note(1004, kern_vm_addr=KERN_VM + (1 << 33), user_vm_start=USER + 0x2000))
    free = event(Kind.PAGE_FREE, arena=PTR, addr=USER + 0x3000)
    rows = decode_rows(
        Decoder(ledger).batch(
            records(
                free,
                event(Kind.ARENA_DESTROY, arena=PTR, ts_ns=1001),
                event(Kind.ARENA_CREATE, arena=PTR, ts_ns=1003),
                event(Kind.ARENA_MMAP, arena=PTR, ts_ns=1005),
                free,
            )
        )
    )
    assert [row["arena"] for row in rows] == [0, 0, 1, 1, 1]
    assert [row["pgoff"] for row in rows] == [3, None, None, None, 1]


def test_code_address_is_reused_between_two_rows() -> None:
    decoder = new_decoder()
    rows = decode_rows(
        decoder.batch(
            records(
                KERNEL,
                event(Kind.PROG_UNLOAD, ret=START),
                event(Kind.PROG_LOAD, ret=START),
                KERNEL,
            )
        )
    )
    assert [row["prog"] for row in rows] == [0, 0, 1, 1]
