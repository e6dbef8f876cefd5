"""A set of page numbers below 2**20 that finds the nearest member on either side."""

from __future__ import annotations

from collections.abc import Iterable

_BITS = 10
_LOW = (1 << _BITS) - 1


class PageIndex:
    """Two levels of 1024-bit integers: every operation costs the same, however many members."""

    __slots__ = ("_blocks", "_top")

    def __init__(self, pages: Iterable[int] = ()) -> None:
        self._blocks = [0] * (1 << _BITS)
        self._top = 0
        for page in pages:
            self.add(page)

    def add(self, page: int) -> None:
        """Add ``page``, which is no member."""
        high = page >> _BITS
        self._blocks[high] |= 1 << (page & _LOW)
        self._top |= 1 << high

    def discard(self, page: int) -> None:
        """Remove ``page``, which is a member."""
        high = page >> _BITS
        left = self._blocks[high] & ~(1 << (page & _LOW))
        self._blocks[high] = left
        if not left:
            self._top &= ~(1 << high)

    def floor(self, page: int) -> int:
        """The greatest member not above ``page``, -1 if there is none."""
        high = page >> _BITS
        bits = self._blocks[high] & ((2 << (page & _LOW)) - 1)
        if not bits:
            below = self._top & ((1 << high) - 1)
            if not below:
                return -1
            high = below.bit_length() - 1
            bits = self._blocks[high]
        return (high << _BITS) + bits.bit_length() - 1

    def ceiling(self, page: int) -> int:
        """The least member not below ``page``, -1 if there is none."""
        high = page >> _BITS
        if high > _LOW:
            return -1
        bits = self._blocks[high] >> (page & _LOW) << (page & _LOW)
        if not bits:
            above = self._top >> (high + 1) << (high + 1)
            if not above:
                return -1
            high = (above & -above).bit_length() - 1
            bits = self._blocks[high]
        return (high << _BITS) + (bits & -bits).bit_length() - 1
