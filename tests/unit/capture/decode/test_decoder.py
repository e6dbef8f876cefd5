"""Records become rows: each kind fills its own columns and leaves the others null."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from arenatrace.capture.decode.decoder import Decoder
from arenatrace.capture.identity.ledger import Ledger
from arenatrace.capture.probes.losses import Loss
from arenatrace.capture.ring.notes import PageStackNote, SymbolNote
from arenatrace.schema import GUARD_SZ, Kind, OopsReason, Outcome, WireFlag
from arenatrace.trace.arrow_schema import arrow_schema
from tests.unit.capture.decode.make_records import event, records
from tests.unit.capture.ring.make_notes import (
    KERN_VM,
    PTR,
    START,
    arena_note,
    prog_note,
    stack_note,
)

KERN = KERN_VM + GUARD_SZ // 2
USER = 0x7F00_1000_0000
IP = 0xFFFF_FFFF_8100_1234


def _ledger() -> Ledger:
    """One arena, mapped, and one program, both enumerated."""
    ledger = Ledger({31: "syscall"}, set())
    ledger.note(arena_note(1, preexisting=True, user_vm_start=USER, id=3))
    ledger.note(prog_note(2, preexisting=True, arena=PTR))
    return ledger


def _decoder() -> Decoder:
    return Decoder(_ledger())


def _rows(batch: pa.RecordBatch | None) -> list[dict[str, Any]]:
    assert batch is not None
    batch.validate(full=True)
    assert batch.schema.equals(arrow_schema("events"))
    rows: list[dict[str, Any]] = batch.to_pylist()
    return rows


def _row(decoder: Decoder, values: dict[str, Any]) -> dict[str, Any]:
    (row,) = _rows(decoder.batch(records(values)))
    return row


_ALWAYS = {"ts_ns": 1000, "seq": 0, "cpu": 6, "pid": 40, "tid": 41, "comm": "task"}


def _full(kind: Kind, **known: Any) -> dict[str, Any]:
    nulls = dict.fromkeys(arrow_schema("events").names)
    return {**nulls, **_ALWAYS, "kind": int(kind), **known}


_WRITE, _OK, _NONE = WireFlag.WRITE, WireFlag.OK, WireFlag.PTE_WAS_NONE
_SEEN, _CODE = WireFlag.PTE_SEEN, WireFlag.HAS_ERROR_CODE
_ALLOC_RET = USER + 0x5000

_CASES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (
        "page_alloc anywhere",
        event(Kind.PAGE_ALLOC, arena=PTR, addr=0, ret=_ALLOC_RET, flags=_OK | WireFlag.SLEEPABLE),
        _full(
            Kind.PAGE_ALLOC,
            arena=0,
            pgoff=5,
            pages=3,
            addr=0,
            ret=_ALLOC_RET,
            sleepable=True,
            node=2,
        ),
    ),
    (
        "page_alloc refused",
        event(Kind.PAGE_ALLOC, arena=PTR, addr=USER + 0x3000, ret=0),
        _full(
            Kind.PAGE_ALLOC,
            arena=0,
            pgoff=3,
            pages=3,
            addr=USER + 0x3000,
            ret=0,
            sleepable=False,
            node=2,
        ),
    ),
    (
        "page_alloc anywhere refused",
        event(Kind.PAGE_ALLOC, arena=PTR, addr=0, ret=0, error_code=0xFFFF_FFFF),
        _full(Kind.PAGE_ALLOC, arena=0, pages=3, addr=0, ret=0, sleepable=False, node=-1),
    ),
    (
        "page_free",
        event(Kind.PAGE_FREE, arena=PTR, addr=USER + 0x3000),
        _full(Kind.PAGE_FREE, arena=0, pgoff=3, pages=3, addr=USER + 0x3000, sleepable=False),
    ),
    (
        "page_reserve",
        event(Kind.PAGE_RESERVE, arena=PTR, addr=USER + 0x3000, ret=-16),
        _full(Kind.PAGE_RESERVE, arena=0, pgoff=3, pages=3, addr=USER + 0x3000, ret=-16),
    ),
    ("free_drain", event(Kind.FREE_DRAIN, arena=PTR), _full(Kind.FREE_DRAIN, arena=0)),
    (
        "user_fault",
        event(Kind.USER_FAULT, arena=PTR, addr=USER + 0x3FFF, ret=0x100, flags=_WRITE),
        _full(
            Kind.USER_FAULT,
            arena=0,
            pgoff=3,
            addr=USER + 0x3FFF,
            ret=0x100,
            write=True,
            outcome=None,
        ),
    ),
    (
        "arena_mmap",
        event(Kind.ARENA_MMAP, arena=PTR, ret=-22),
        _full(Kind.ARENA_MMAP, arena=0, ret=-22),
    ),
    ("arena_destroy", event(Kind.ARENA_DESTROY, arena=PTR), _full(Kind.ARENA_DESTROY, arena=0)),
    ("arena_create", event(Kind.ARENA_CREATE, arena=PTR), _full(Kind.ARENA_CREATE, arena=1)),
    (
        "prog_load",
        event(Kind.PROG_LOAD, arena=PTR, ret=START + 0x1000),
        _full(Kind.PROG_LOAD, arena=0, prog=1),
    ),
    (
        "prog_unload",
        event(Kind.PROG_UNLOAD, ret=START),
        _full(Kind.PROG_UNLOAD, prog=0),
    ),
    (
        "prog_unload of one never heard of",
        event(Kind.PROG_UNLOAD, ret=START + 0x1000),
        _full(Kind.PROG_UNLOAD),
    ),
    (
        "kernel_fault recovered",
        event(
            Kind.KERNEL_FAULT,
            arena=PTR,
            addr=KERN + 0x1000_2ABC,
            ret=START,
            flags=_OK | _SEEN | _NONE | _WRITE | _CODE,
        ),
        _full(
            Kind.KERNEL_FAULT,
            arena=0,
            pgoff=2,
            addr=KERN + 0x1000_2ABC,
            write=True,
            error_code=2,
            ip=IP,
            prog=0,
            outcome=Outcome.SCRATCH_INSTALLED,
        ),
    ),
    (
        "kernel_fault without an error code",
        event(
            Kind.KERNEL_FAULT,
            arena=PTR,
            addr=KERN + 0x1000_0000,
            ret=START,
            flags=_OK | _SEEN,
            error_code=0,
        ),
        _full(
            Kind.KERNEL_FAULT,
            arena=0,
            pgoff=0,
            addr=KERN + 0x1000_0000,
            write=False,
            ip=IP,
            prog=0,
            outcome=Outcome.ALREADY_MAPPED,
        ),
    ),
    (
        "kernel_fault on a read: its error code is 0",
        event(
            Kind.KERNEL_FAULT,
            arena=PTR,
            addr=KERN + 0x1000_0000,
            ret=START,
            flags=_OK | _CODE,
            error_code=0,
        ),
        _full(
            Kind.KERNEL_FAULT,
            arena=0,
            pgoff=0,
            addr=KERN + 0x1000_0000,
            write=False,
            error_code=0,
            ip=IP,
            prog=0,
        ),
    ),
    (
        "prog_fault",
        event(
            Kind.PROG_FAULT, arena=PTR, addr=0x1000_2ABC, ret=START, flags=WireFlag.ADDR_IS_OFFSET
        ),
        _full(
            Kind.PROG_FAULT,
            arena=0,
            pgoff=2,
            addr=KERN + 0x1000_2ABC,
            write=False,
            ip=IP,
            prog=0,
            outcome=Outcome.ZEROED,
        ),
    ),
    (
        "prog_fault that no program was named for",
        event(Kind.PROG_FAULT, addr=KERN + 0x1000_2ABC),
        _full(
            Kind.PROG_FAULT,
            arena=0,
            pgoff=2,
            addr=KERN + 0x1000_2ABC,
            write=False,
            ip=IP,
            outcome=Outcome.ZEROED,
        ),
    ),
    (
        "kernel_alloc",
        event(Kind.KERNEL_ALLOC, arena=PTR, addr=KERN + 0x1000_2ABC, ret=72, pages=1),
        _full(Kind.KERNEL_ALLOC, arena=0, pgoff=2, pages=1, addr=KERN + 0x1000_2ABC, ret=72),
    ),
    (
        "kernel_alloc refused",
        event(Kind.KERNEL_ALLOC, arena=PTR, addr=0, ret=72, pages=0),
        _full(Kind.KERNEL_ALLOC, arena=0, pages=0, addr=0, ret=72),
    ),
    (
        "kernel_free",
        event(Kind.KERNEL_FREE, arena=PTR, addr=KERN + 0x1000_2ABC, ret=72, pages=1),
        _full(Kind.KERNEL_FREE, arena=0, pgoff=2, pages=1, addr=KERN + 0x1000_2ABC, ret=72),
    ),
    (
        "kernel_fault that was not recovered",
        event(
            Kind.KERNEL_FAULT,
            addr=KERN + 0x1000_2ABC,
            ret=START,
            flags=_CODE,
            pages=OopsReason.NO_ARENA,
        ),
        _full(
            Kind.KERNEL_FAULT,
            arena=0,
            pgoff=2,
            addr=KERN + 0x1000_2ABC,
            write=False,
            error_code=2,
            ip=IP,
            prog=0,
            outcome=Outcome.OOPS,
            oops_reason=OopsReason.NO_ARENA,
        ),
    ),
    (
        "prog_fault without a program",
        event(Kind.PROG_FAULT, addr=0x1000, flags=WireFlag.ADDR_IS_OFFSET | _WRITE),
        _full(Kind.PROG_FAULT, write=True, ip=IP, outcome=Outcome.IGNORED),
    ),
]


@pytest.mark.parametrize(
    ("values", "expected"), [c[1:] for c in _CASES], ids=[c[0] for c in _CASES]
)
def test_columns(values: dict[str, Any], expected: dict[str, Any]) -> None:
    assert _row(_decoder(), values) == expected


def test_bpf_code_that_touched_no_arena_is_no_arena_fault() -> None:
    """Where the kernel does not tell them apart, any load of BPF code that faults comes by."""
    decoder = _decoder()
    assert decoder.batch(records(event(Kind.PROG_FAULT, addr=0xFFFF_8880_0000_0000))) is None
    assert decoder.unrelated_oopses == 0


def test_every_kind_has_a_case() -> None:
    shown = {Kind(values["kind"]) for _, values, _ in _CASES}
    assert shown == set(Kind) - {Kind.LOST}


def test_a_row_of_losses() -> None:
    decoder = _decoder()
    (row,) = _rows(decoder.lost(Loss(int(Kind.PAGE_ALLOC), 1234, 70, 77)))
    nulls = dict.fromkeys(arrow_schema("events").names)
    said = {"seq": 0, "kind": 13, "pages": 1234, "ret": 4}
    assert row == {**nulls, "ts_ns": 77, "since_ts_ns": 70, **said}
    assert decoder.counts[Kind.LOST] == 1


_KERNEL = event(Kind.KERNEL_FAULT, arena=PTR, addr=KERN, ret=START)


@pytest.mark.parametrize(
    ("flags", "outcome"),
    [
        (_OK | _SEEN | _NONE, Outcome.SCRATCH_INSTALLED),
        (_OK | _SEEN, Outcome.ALREADY_MAPPED),
        (_SEEN, Outcome.OOPS),
        (_SEEN | _NONE, Outcome.OOPS),
        (_OK, None),
        (0, Outcome.OOPS),
    ],
)
def test_outcome_of_a_kernel_fault(flags: int, outcome: Outcome | None) -> None:
    """Where nobody saw the page table entry it is unknown how a fault was recovered."""
    row = _row(_decoder(), {**_KERNEL, "flags": flags})
    assert row["outcome"] == outcome


@pytest.mark.parametrize(
    ("ret", "outcome"),
    [
        (0, Outcome.MAPPED),
        (0x40, Outcome.SIGSEGV),
        (0x02, Outcome.SIGBUS),
        (0x42, Outcome.SIGSEGV),
        (0x400, None),
        (0x10000, Outcome.MAPPED),
    ],
)
def test_outcome_of_a_user_fault(ret: int, outcome: Outcome | None) -> None:
    """VM_FAULT_* of the kernel; 0x400 is a retry, bits from 16 on are no error."""
    assert _row(_decoder(), event(Kind.USER_FAULT, arena=PTR, ret=ret))["outcome"] == outcome


def test_counts_by_kind() -> None:
    decoder = _decoder()
    decoder.batch(records(event(Kind.PAGE_FREE, arena=PTR), event(Kind.PAGE_FREE, arena=PTR)))
    decoder.batch(records(event(Kind.FREE_DRAIN, arena=PTR)))
    known = {kind: count for kind, count in decoder.counts.items() if count}
    assert known == {Kind.PAGE_FREE: 2, Kind.FREE_DRAIN: 1}
    assert set(decoder.counts) == set(Kind)


def test_seq_has_no_holes() -> None:
    """Over batches, dropped records and rows of losses."""
    decoder = _decoder()
    free = event(Kind.PAGE_FREE, arena=PTR)
    unrelated = event(Kind.KERNEL_FAULT, addr=0x10)
    batches = [
        decoder.batch(records(free, unrelated, free)),
        decoder.batch(records(unrelated)),
        decoder.lost(Loss(4, 1, 1, 1)),
        decoder.batch(records(free)),
    ]
    rows = [row for batch in batches if batch is not None for row in _rows(batch)]
    assert [row["seq"] for row in rows] == [0, 1, 2, 3]


def test_no_records_no_batch() -> None:
    assert _decoder().batch(records()) is None


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
    assert _row(_decoder(), event(Kind.FREE_DRAIN, arena=PTR, comm=comm))["comm"] == text


def test_names_that_read_the_same() -> None:
    """A task may be called what another's bytes are shown as."""
    names = (b"a\\xff", b"a\xff", b"b\0c", b"b")
    batch = _decoder().batch(
        records(*(event(Kind.FREE_DRAIN, arena=PTR, comm=comm) for comm in names))
    )
    assert [row["comm"] for row in _rows(batch)] == ["a\\xff", "a\\xff", "b", "b"]


# ---- stacks ----


def test_a_fault_takes_its_own_stack() -> None:
    ledger = _ledger()
    ledger.note(stack_note(1000, cpu=6, tid=41, frames=(90, IP, 91)))
    ledger.note(stack_note(1000, cpu=7, tid=41, frames=(92,)))
    decoder = Decoder(ledger)
    row = _row(decoder, {**_KERNEL, "stack": 1})
    assert ledger.stacks.rows == [{"stack": row["stack"], "frames": [IP, 91]}]


@pytest.mark.parametrize("said", [0, 1], ids=["none was sent", "it was lost"])
def test_a_fault_without_a_stack(said: int) -> None:
    ledger = _ledger()
    if not said:
        ledger.note(stack_note(1000, cpu=6, tid=41, frames=(1,)))
    decoder = Decoder(ledger)
    assert _row(decoder, {**_KERNEL, "stack": said})["stack"] is None
    assert ledger.stacks.rows == []


def test_page_operations_have_the_stack_of_their_hash() -> None:
    ledger = _ledger()
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
    assert [frames.get(row["stack"]) for row in _rows(batch)] == [
        *([92, 94], [90, 93], [92, 94], None, None)
    ]
    assert [row["ip"] for row in _rows(batch)] == [None] * 5


def test_stacks_are_written_again_into_new_files() -> None:
    ledger = _ledger()
    ledger.note(PageStackNote(8, (90, 93)))
    decoder = Decoder(ledger)
    free = event(Kind.PAGE_FREE, arena=PTR, ip=8)
    before = _row(decoder, free)["stack"]
    ledger.stacks.rows.clear()
    ledger.stacks.start_files()
    # sent before the probes knew of the new files: its note is in the old ones
    after = _row(decoder, free)["stack"]
    assert ledger.stacks.rows == [{"stack": after, "frames": [90, 93]}]
    assert after != before


def test_a_program_known_only_by_the_stack() -> None:
    ledger = _ledger()
    start = START + 0x9000
    ledger.note(stack_note(1000, cpu=6, tid=41, start=start, name="late", arena=PTR))
    ledger.programs.rows.clear()
    row = _row(Decoder(ledger), {**_KERNEL, "ret": start, "stack": 1})
    (named,) = [row for row in ledger.programs.rows if row.get("name")]
    assert (named["prog"], named["name"]) == (row["prog"], "late")


# ---- what a pointer means changes within a batch ----


def test_a_pointer_changes_hands_between_two_rows() -> None:
    ledger = _ledger()
    ledger.note(arena_note(1002, kern_vm_addr=KERN_VM + (1 << 33)))
    ledger.note(arena_note(1004, kern_vm_addr=KERN_VM + (1 << 33), user_vm_start=USER + 0x2000))
    free = event(Kind.PAGE_FREE, arena=PTR, addr=USER + 0x3000)
    rows = _rows(
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


def test_code_changes_hands_between_two_rows() -> None:
    decoder = _decoder()
    rows = _rows(
        decoder.batch(
            records(
                _KERNEL,
                event(Kind.PROG_UNLOAD, ret=START),
                event(Kind.PROG_LOAD, ret=START),
                _KERNEL,
            )
        )
    )
    assert [row["prog"] for row in rows] == [0, 0, 1, 1]
