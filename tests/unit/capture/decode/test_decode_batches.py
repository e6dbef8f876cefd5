"""A batch says of each record what it would say of that record alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arenatrace.capture.decode.decoder import Decoder
from arenatrace.capture.decode.kind_masks import KindMasks
from arenatrace.capture.identity.ledger import Ledger
from arenatrace.schema import BAND_SZ, GUARD_SZ, Kind
from tests.unit.capture.decode.make_records import event, records
from tests.unit.capture.ring.make_notes import KERN_VM, PTR, arena_note

KERN = KERN_VM + GUARD_SZ // 2
USER = 0x7F00_1000_0000
OTHER = PTR + 0x1000
#: Kinds that do not change the meaning of a pointer.
_KINDS = [
    *(Kind.PAGE_ALLOC, Kind.PAGE_FREE, Kind.PAGE_RESERVE, Kind.FREE_DRAIN, Kind.USER_FAULT),
    *(Kind.KERNEL_FAULT, Kind.PROG_FAULT, Kind.KERNEL_ALLOC, Kind.KERNEL_FREE, Kind.ARENA_MMAP),
]
_ADDRESSES = st.one_of(
    st.integers(0, 2**32).map(lambda low: low & ~0xFFF),
    st.integers(-(1 << 17), BAND_SZ + (1 << 17)).map(lambda at: KERN + at),
    st.integers(0, 1 << 20).map(lambda at: USER + at),
)
_EVENTS = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(_KINDS).map(int),
        "ts_ns": st.integers(1, 2**62),
        "arena": st.sampled_from([0, PTR, OTHER]),
        "addr": _ADDRESSES,
        "ret": st.one_of(
            st.just(0), st.integers(USER, USER + (1 << 20)), st.integers(-22, 1 << 11)
        ),
        "ip": st.sampled_from([0, 0xFFFF_FFFF_8100_1234]),
        "pid": st.integers(0, 2**32 - 1),
        "tid": st.sampled_from([1, 2**32 - 1]),
        "pages": st.integers(0, 5),
        "error_code": st.sampled_from([0, 2, 2**32 - 1]),
        "cpu": st.integers(0, 2**16 - 1),
        "flags": st.integers(0, 255),
        "comm": st.sampled_from([b"one", b"other", b"sixteen-bytes-ab"]),
    }
)


def _decoder() -> Decoder:
    ledger = Ledger({31: "syscall"}, set())
    ledger.note(arena_note(1, preexisting=True, user_vm_start=USER, id=3))
    ledger.note(arena_note(2, ptr=OTHER, preexisting=True, user_vm_start=0, id=4))
    return Decoder(ledger)


@settings(deadline=None)
@given(st.lists(_EVENTS, min_size=1, max_size=40))
def test_batch_equals_single_records(events: list[dict[str, Any]]) -> None:
    together, alone = _decoder(), _decoder()
    batch = together.batch(records(*(event(**each) for each in events)))
    rows: list[dict[str, Any]] = []
    for each in events:
        single = alone.batch(records(event(**each)))
        rows += single.to_pylist() if single is not None else []
    if batch is not None:
        batch.validate(full=True)
    assert (batch.to_pylist() if batch is not None else []) == rows
    assert together.counts == alone.counts
    assert together.unrelated_oopses == alone.unrelated_oopses


@pytest.mark.parametrize("count", [1, 2, 300])
def test_rows_do_not_share_ring_memory(count: int) -> None:
    taken = records(*[event(Kind.PAGE_ALLOC, arena=PTR, ret=USER)] * count)
    batch = _decoder().batch(taken)
    assert batch is not None
    before = batch.to_pylist()
    taken.view(np.uint8)[:] = 0xFF
    assert batch.to_pylist() == before


def test_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="1 event"):
        KindMasks(np.array([4, 5, 99], np.uint8))
