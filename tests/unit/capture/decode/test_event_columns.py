"""Columns of one event of each kind, and outcomes of faults."""

from __future__ import annotations

from typing import Any

import pytest

from arenatrace.schema import Kind, OopsReason, Outcome, WireFlag
from arenatrace.trace.arrow_schema import arrow_schema
from tests.unit.capture.decode.decoding import IP, KERN, KERNEL, USER, decode_one, new_decoder
from tests.unit.capture.decode.make_records import event, records
from tests.unit.capture.ring.make_notes import (
    PTR,
    START,
)

_ALWAYS = {"ts_ns": 1000, "seq": 0, "cpu": 6, "pid": 40, "tid": 41, "comm": "task"}


def _full(kind: Kind, **known: Any) -> dict[str, Any]:
    nulls = dict.fromkeys(arrow_schema("events").names)
    return {**nulls, **_ALWAYS, "kind": int(kind), **known}


_WRITE = WireFlag.WRITE


_OK = WireFlag.OK


_NONE = WireFlag.PTE_WAS_NONE


_SEEN = WireFlag.PTE_SEEN


_CODE = WireFlag.HAS_ERROR_CODE


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
    assert decode_one(new_decoder(), values) == expected


def test_bpf_fault_outside_every_arena_is_left_out() -> None:
    """A kernel that does not distinguish them reports every faulting load of BPF code."""
    decoder = new_decoder()
    assert decoder.batch(records(event(Kind.PROG_FAULT, addr=0xFFFF_8880_0000_0000))) is None
    assert decoder.unrelated_oopses == 0


def test_every_kind_has_a_case() -> None:
    shown = {Kind(values["kind"]) for _, values, _ in _CASES}
    assert shown == set(Kind) - {Kind.LOST}


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
    """The outcome is null if no probe saw the page table entry."""
    row = decode_one(new_decoder(), {**KERNEL, "flags": flags})
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
    assert (
        decode_one(new_decoder(), event(Kind.USER_FAULT, arena=PTR, ret=ret))["outcome"] == outcome
    )
