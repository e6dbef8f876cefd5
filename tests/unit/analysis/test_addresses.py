"""Address arithmetic, compared with plain Python that follows the kernel line by line."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from arenatrace.analysis.addresses import with_addresses

_U64 = (1 << 64) - 1
_U32 = (1 << 32) - 1
_GIB4 = 1 << 32
_HALF = 32 * 1024

Answer = tuple[int, int, int | None, int | None, str | None]


def _kernel(kaddr: int, kern: int, user: int, entries: int) -> Answer:
    """Return (kaddr, offset, uaddr, page, band) as kernel/bpf/arena.c computes them."""
    offset = kaddr % 4096
    for low, high, band in ((-_HALF, 0, "lower-guard"), (_GIB4, _GIB4 + _HALF, "upper-guard")):
        if low <= kaddr - kern < high:
            return kaddr, offset, ((user >> 32 << 32) + kaddr - kern) & _U64, None, band
    if not 0 <= kaddr - kern < _GIB4:
        return kaddr, offset, None, None, None
    uaddr = (user >> 32 << 32) + (kaddr - kern)
    page = ((uaddr - (user & _U32)) & _U32) >> 12
    return kaddr, offset, uaddr & _U64, page, "user-range" if page < entries else "kernel-band"


def _found(
    kaddr: int, kern: int | None, user: int | None, entries: int | None
) -> tuple[object, ...]:
    faults = pl.LazyFrame({"arena": [0], "addr": [kaddr]}, {"arena": pl.UInt32, "addr": pl.UInt64})
    arenas = pl.LazyFrame(
        {"arena": [0], "kern_vm_start": [kern], "user_vm_start": [user], "max_entries": [entries]},
        {
            "arena": pl.UInt32,
            "kern_vm_start": pl.UInt64,
            "user_vm_start": pl.UInt64,
            "max_entries": pl.UInt32,
        },
    )
    found = with_addresses(faults, arenas).select("kaddr", "offset", "uaddr", "page", "band")
    return found.collect().row(0)


_KERN = st.integers(0xFFFF_C900_0000_0, 0xFFFF_E8FF_FFFF_0).map(lambda page: page << 12)
_USER = st.integers(0, (1 << 35) - 1).map(lambda page: page << 12)
_EDGES = (-_HALF, -1, 0, 1, 4095, 4096, _GIB4 - 1, _GIB4, _GIB4 + _HALF - 1, _GIB4 + _HALF)
_DISTANCE = st.one_of(
    st.sampled_from(_EDGES),
    st.integers(-2 * _HALF, 2 * _HALF),
    st.integers(_GIB4 - 2 * _HALF, _GIB4 + 2 * _HALF),
    st.integers(-_GIB4, 2 * _GIB4),
)


@given(_KERN, _USER, st.integers(1, 1 << 20), _DISTANCE)
@example(0xFFFF_C900_01E6_9000, 0x7F7D_2620_0000, 100, 0x2620_0000)
@example(0xFFFF_C900_01E6_9000, 0x7F7D_2620_0000, 100, 0)
@example(0xFFFF_C900_01E6_9000, 0, 1, 0)
def test_addresses_match_the_arithmetic_of_the_kernel(
    kern: int, user: int, entries: int, distance: int
) -> None:
    kaddr = kern + distance
    assert _found(kaddr, kern, user, entries) == _kernel(kaddr, kern, user, entries)


def test_example_of_the_kernel_source() -> None:
    # "ffffc90001e69000 + 26200000 == ffffc90028069000 is pgoff=0", kernel/bpf/arena.c
    assert _found(0xFFFF_C900_2806_9008, 0xFFFF_C900_01E6_9000, 0x7F7D_2620_0000, 10) == (
        0xFFFF_C900_2806_9008,
        8,
        0x7F7D_2620_0008,
        0,
        "user-range",
    )


@pytest.mark.parametrize(
    ("kern", "user", "entries", "expected"),
    [
        (None, 0x1000, 4, (None, None, None)),
        (0x10000, None, 4, (None, None, None)),
        (0x10000, 0x0, None, (0x1000, 1, None)),
    ],
)
def test_unknown_arena_members_give_null(
    kern: int | None, user: int | None, entries: int | None, expected: tuple[object, ...]
) -> None:
    assert _found(0x11000, kern, user, entries)[2:] == expected
