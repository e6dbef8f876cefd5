"""Addresses to arenas and pages, against the kernel's own arithmetic in plain Python."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arenatrace.capture.decode.decoder import Decoder
from arenatrace.capture.identity.ledger import Ledger
from arenatrace.schema import BAND_SZ, GUARD_SZ, PAGE_SIZE, Kind, Outcome, WireFlag
from tests.unit.capture.decode.make_records import event, records
from tests.unit.capture.ring.make_notes import KERN_VM, PTR, START, arena_note, prog_note

KERN = KERN_VM + GUARD_SZ // 2
USER = 0x7F00_1000_0000
OTHER_PTR = PTR + 0x1000
OTHER_KERN_VM = KERN_VM + (1 << 34)

_EDGES = [0, 1, PAGE_SIZE - 1, PAGE_SIZE, BAND_SZ - 1, BAND_SZ - PAGE_SIZE, BAND_SZ // 2]
_user_starts = st.builds(
    lambda high, low: (high << 32) + low * PAGE_SIZE,
    st.integers(1, 0x7FFF),
    st.one_of(
        st.integers(0, (1 << 20) - 1),
        st.integers((1 << 20) - 3, (1 << 20) - 1),
        st.integers(0, 2),
    ),
)
_kern_vms = st.integers(0xFFFF_8000_0000_0, 0xFFFF_FE00_0000_0).map(lambda page: page * PAGE_SIZE)
_in_band = st.one_of(st.sampled_from(_EDGES), st.integers(0, BAND_SZ - 1))
_in_guards = st.one_of(
    st.integers(-GUARD_SZ // 2, -1), st.integers(BAND_SZ, BAND_SZ + GUARD_SZ // 2 - 1)
)


def _compute_pgoff(user_vm_start: int, uaddr: int) -> int:
    """compute_pgoff() of kernel/bpf/arena.c: (u32)(uaddr - (u32)user_vm_start) >> PAGE_SHIFT."""
    low = ctypes.c_uint32(user_vm_start).value
    return ctypes.c_uint32(ctypes.c_int64(uaddr).value - low).value >> 12


def _one(kern_vm: int, user: int, values: dict[str, Any]) -> dict[str, Any]:
    ledger = Ledger({}, set())
    ledger.note(arena_note(1, preexisting=True, kern_vm_addr=kern_vm, user_vm_start=user))
    batch = Decoder(ledger).batch(records(values))
    assert batch is not None
    row: dict[str, Any] = batch.to_pylist()[0]
    return row


def _fault(kind: Kind, kern: int, offset: int) -> dict[str, Any]:
    """Return a recovered fault at ``kern + offset`` as the probe of its side sends it."""
    if kind is Kind.KERNEL_FAULT:
        return event(kind, arena=PTR, addr=kern + offset, flags=WireFlag.OK)
    return event(kind, arena=PTR, addr=offset, flags=WireFlag.ADDR_IS_OFFSET)


_sides = st.sampled_from([Kind.KERNEL_FAULT, Kind.PROG_FAULT])


@settings(deadline=None)
@given(_sides, _kern_vms, _user_starts, _in_band)
def test_page_of_a_fault_in_the_band(kind: Kind, kern_vm: int, user: int, offset: int) -> None:
    """The handler hands compute_pgoff() the low 32 bits above kern_vm_start."""
    kern = kern_vm + GUARD_SZ // 2
    row = _one(kern_vm, user, _fault(kind, kern, offset))
    assert row["pgoff"] == _compute_pgoff(user, offset)
    assert row["addr"] == kern + offset


@settings(deadline=None)
@given(_sides, _kern_vms, _user_starts, _in_guards)
def test_fault_in_a_guard_has_no_page(kind: Kind, kern_vm: int, user: int, offset: int) -> None:
    """Negative offsets (the lower half of the guard) arrive as large numbers."""
    kern = kern_vm + GUARD_SZ // 2
    row = _one(kern_vm, user, _fault(kind, kern, offset))
    assert row["pgoff"] is None
    assert row["addr"] == kern + offset


@settings(deadline=None)
@given(
    st.sampled_from([Kind.PAGE_FREE, Kind.PAGE_RESERVE, Kind.USER_FAULT, Kind.PAGE_ALLOC]),
    _user_starts,
    st.integers(0, (1 << 20) - 1),
    st.booleans(),
)
def test_page_of_a_user_address(kind: Kind, user: int, page: int, cut: bool) -> None:
    """A full and a 32-bit user address give the same page number."""
    whole = user + page * PAGE_SIZE
    uaddr = whole & 0xFFFF_FFFF if cut else whole
    values = event(kind, arena=PTR, addr=uaddr)
    if kind is Kind.PAGE_ALLOC:
        values |= {"addr": 0, "ret": whole}
        uaddr = whole
    row = _one(KERN_VM, user, values)
    assert row["pgoff"] == _compute_pgoff(user, uaddr) == page


@pytest.mark.parametrize("kind", [Kind.KERNEL_FAULT, Kind.PROG_FAULT])
def test_unmapped_arena_has_no_pages(kind: Kind) -> None:
    row = _one(KERN_VM, 0, _fault(kind, KERN, 0x3000))
    assert (row["addr"], row["pgoff"]) == (KERN + 0x3000, None)


def test_offset_without_kern_vm_start_has_no_address() -> None:
    row = _one(0, USER, _fault(Kind.PROG_FAULT, 0, 0x3000))
    assert (row["addr"], row["pgoff"]) == (None, None)


def test_kernel_address_without_kern_vm_start_has_no_page() -> None:
    row = _one(0, USER, _fault(Kind.KERNEL_FAULT, KERN, 0x3000))
    assert (row["addr"], row["pgoff"]) == (KERN + 0x3000, None)


# ---- faults that ended in an oops ----


def _two_arenas() -> Ledger:
    """Two arenas; the program's is the first."""
    ledger = Ledger({}, set())
    ledger.note(arena_note(1, preexisting=True, user_vm_start=USER))
    ledger.note(
        arena_note(
            1,
            preexisting=True,
            ptr=OTHER_PTR,
            kern_vm_addr=OTHER_KERN_VM,
            user_vm_start=USER + 0x1000,
        )
    )
    ledger.note(prog_note(2, preexisting=True, arena=PTR))
    return ledger


def _oops(addr: int, *, blamed: bool) -> dict[str, Any]:
    program = {"arena": PTR, "ret": START} if blamed else {"arena": 0, "ret": 0}
    return event(Kind.KERNEL_FAULT, addr=addr, **program)


def _decoded(values: dict[str, Any]) -> dict[str, Any]:
    batch = Decoder(_two_arenas()).batch(records(values))
    assert batch is not None
    row: dict[str, Any] = batch.to_pylist()[0]
    return row


@pytest.mark.parametrize("blamed", [True, False])
@pytest.mark.parametrize(
    ("addr", "arena", "pgoff"),
    [
        (KERN + (USER & 0xFFFF_FFFF) + 0x2000, 0, 2),
        (OTHER_KERN_VM + GUARD_SZ // 2 + (USER & 0xFFFF_FFFF) + 0x2000, 1, 1),
        (KERN - 1, 0, None),
        (OTHER_KERN_VM + GUARD_SZ // 2 + BAND_SZ, 1, None),
    ],
    ids=["own arena", "another's arena", "lower guard", "upper guard of another's"],
)
def test_oops_belongs_to_the_touched_arena(
    addr: int, arena: int, pgoff: int | None, blamed: bool
) -> None:
    """Not to the arena of the program that was blamed, and also without a program."""
    row = _decoded(_oops(addr, blamed=blamed))
    assert (row["arena"], row["pgoff"], row["outcome"]) == (arena, pgoff, Outcome.OOPS)
    assert row["prog"] == (0 if blamed else None)


def test_oops_outside_all_arenas_is_left_out_when_a_program_is_blamed() -> None:
    """A NULL pointer in a kernel function that a BPF program called, for example."""
    decoder = Decoder(_two_arenas())
    assert decoder.batch(records(_oops(0x10, blamed=True))) is None
    assert decoder.unrelated_oopses == 1


def test_oops_is_retained_while_an_arena_address_is_unknown() -> None:
    ledger = _two_arenas()
    ledger.arenas.index(0xFFFF_8880_0000_0000)
    batch = Decoder(ledger).batch(records(_oops(0x10, blamed=True)))
    assert batch is not None
    (row,) = batch.to_pylist()
    assert (row["arena"], row["prog"], row["pgoff"], row["addr"]) == (None, 0, None, 0x10)


def test_unrelated_oops_is_counted_and_left_out() -> None:
    decoder = Decoder(_two_arenas())
    retained = _oops(KERN, blamed=False)
    batch = decoder.batch(records(_oops(0x10, blamed=False), retained, _oops(0x20, blamed=False)))
    assert batch is not None
    assert [row["addr"] for row in batch.to_pylist()] == [KERN]
    assert decoder.unrelated_oopses == 2
    assert decoder.counts[Kind.KERNEL_FAULT] == 1


def test_only_unrelated_oopses_give_no_batch() -> None:
    decoder = Decoder(_two_arenas())
    assert decoder.batch(records(_oops(0x10, blamed=False))) is None
    assert decoder.unrelated_oopses == 1


def test_recovered_fault_belongs_to_the_blamed_programs_arena() -> None:
    row = _decoded({**_oops(KERN, blamed=True), "flags": WireFlag.OK})
    assert row["arena"] == 0
