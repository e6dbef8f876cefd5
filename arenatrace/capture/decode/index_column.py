"""A number for each row of a batch, of which most often all are the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]

#: No arena, no program, no stack.
NONE = -1


class RowNumbers:
    """Numbers of rows, ``NONE`` to begin with; they take memory once two rows differ."""

    def __init__(self, count: int) -> None:
        self._count = count
        #: The number of all rows; None where they have numbers of their own.
        self.same: int | None = NONE
        self._each: Ints | None = None

    def put(self, rows: slice | int, numbers: int | Ints) -> None:
        """Give ``rows`` one number or one each."""
        everywhere = isinstance(rows, slice) and rows.indices(self._count) == (0, self._count, 1)
        if self._each is None and isinstance(numbers, int):
            if numbers == self.same:
                return
            if everywhere:
                self.same = numbers
                return
        each = self.each()
        each[rows] = numbers
        self._each, self.same = each, None

    def each(self) -> Ints:
        """The number of each row."""
        if self._each is not None:
            return self._each
        return np.full(self._count, self.same, np.int32)

    def same_or_each(self) -> int | Ints:
        """The number of all rows, or that of each."""
        return self.each() if self.same is None else self.same

    def of(self, rows: Ints) -> int | Ints:
        """The number of each of ``rows``, or of all of them."""
        return self.same if self.same is not None else self.each()[rows]

    def only(self, keep: Mask) -> RowNumbers:
        """Those of the rows that are kept."""
        kept = RowNumbers(int(np.count_nonzero(keep)))
        if self._each is None:
            kept.same = self.same
        else:
            kept.same, kept._each = None, self._each[keep]
        return kept
