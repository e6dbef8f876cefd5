"""Masks of the rows of each kind in a batch."""

from __future__ import annotations

import numpy as np

from arenatrace.capture.decode.arrays import Ints, Mask
from arenatrace.schema import Kind

#: Kinds in search order: the search ends when every row is found.
_COMMON_FIRST = sorted(Kind, key=lambda kind: kind not in (Kind.PAGE_ALLOC, Kind.PAGE_FREE))


class KindMasks:
    """Kinds of records, with a mask for each kind; comparing bytes is cheap.

    Raises ValueError for a record of unknown kind.
    """

    def __init__(self, kind: Ints) -> None:
        self.kind = kind.copy()
        #: Number of rows of each kind that occurs.
        self.counts: dict[Kind, int] = {}
        # keyed by int: hashing an enum member calls a Python function
        self._masks: list[Mask | None] = [None] * (max(Kind) + 1)
        self._none = np.zeros(len(kind), np.bool_)
        left = len(kind)
        for each in _COMMON_FIRST:
            if not left:
                return
            mask = self.kind == np.uint8(each)
            count = int(np.count_nonzero(mask))
            if count:
                self.counts[each], self._masks[each] = count, mask
                left -= count
        if left:
            raise ValueError(f"{left} event(s) of unknown kinds")

    def of(self, *kinds: Kind) -> Mask:
        """Return the mask of ``kinds``; read-only."""
        found = self._found(kinds)
        if not found:
            return self._none
        mask = found[0]
        for other in found[1:]:
            mask = mask | other
        return mask

    def any_of(self, *kinds: Kind) -> bool:
        """Return whether any row has one of ``kinds``."""
        return bool(self._found(kinds))

    def rows_of(self, *kinds: Kind) -> list[int]:
        """Return the row numbers of ``kinds``, ascending."""
        return np.flatnonzero(self.of(*kinds)).tolist() if self.any_of(*kinds) else []

    def _found(self, kinds: tuple[Kind, ...]) -> list[Mask]:
        masks = self._masks
        return [mask for kind in kinds if (mask := masks[kind]) is not None]
