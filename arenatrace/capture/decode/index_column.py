"""Index column with a constant fast path."""

from __future__ import annotations

import numpy as np

from arenatrace.capture.decode.arrays import Ints, Mask

#: No arena, no program, no stack.
NONE = -1


class IndexColumn:
    """An index per row, ``NONE`` initially; it needs memory only when two rows differ."""

    def __init__(self, count: int) -> None:
        self._count = count
        #: The index of all rows; None if rows differ.
        self.constant: int | None = NONE
        self._each: Ints | None = None

    def put(self, rows: slice | int, numbers: int | Ints) -> None:
        """Set the index of ``rows`` to one value or one value each."""
        everywhere = isinstance(rows, slice) and rows.indices(self._count) == (0, self._count, 1)
        if self._each is None and isinstance(numbers, int):
            if numbers == self.constant:
                return
            if everywhere:
                self.constant = numbers
                return
        each = self.each()
        each[rows] = numbers
        self._each, self.constant = each, None

    def each(self) -> Ints:
        """Return one index per row."""
        if self._each is not None:
            return self._each
        return np.full(self._count, self.constant, np.int32)

    def constant_or_each(self) -> int | Ints:
        """Return the index of all rows, or one per row."""
        return self.each() if self.constant is None else self.constant

    def of(self, rows: Ints) -> int | Ints:
        """Return the indices of ``rows``, or the index of all rows."""
        return self.constant if self.constant is not None else self.each()[rows]

    def only(self, keep: Mask) -> IndexColumn:
        """Return the selected rows."""
        selected = IndexColumn(int(np.count_nonzero(keep)))
        if self._each is None:
            selected.constant = self.constant
        else:
            selected.constant, selected._each = None, self._each[keep]
        return selected
