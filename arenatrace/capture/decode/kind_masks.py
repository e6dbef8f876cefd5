"""Which rows of a batch are of which kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from arenatrace.schema import Kind

Ints = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]

#: The kinds in the order they are looked for: once all rows are told, the search is over.
_COMMON_FIRST = sorted(Kind, key=lambda kind: kind not in (Kind.PAGE_ALLOC, Kind.PAGE_FREE))


class KindMasks:
    """The kinds of some records; comparing bytes costs next to nothing, so each kind has a mask.

    Raises ValueError for a record of no kind.
    """

    def __init__(self, kind: Ints) -> None:
        self.kind = kind.copy()
        #: Rows of each kind that there is.
        self.counts: dict[Kind, int] = {}
        # by number: members of an enumeration are hashed by a function in Python
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
        """The rows of any of ``kinds``; not to be written to."""
        found = self._found(kinds)
        if not found:
            return self._none
        mask = found[0]
        for other in found[1:]:
            mask = mask | other
        return mask

    def any_of(self, *kinds: Kind) -> bool:
        """Whether there is a row of one of ``kinds``."""
        return bool(self._found(kinds))

    def rows_of(self, *kinds: Kind) -> list[int]:
        """Where the rows of ``kinds`` are, in order."""
        return np.flatnonzero(self.of(*kinds)).tolist() if self.any_of(*kinds) else []

    def _found(self, kinds: tuple[Kind, ...]) -> list[Mask]:
        masks = self._masks
        return [mask for kind in kinds if (mask := masks[kind]) is not None]
