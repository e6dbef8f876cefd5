"""What a page table entry of an arena's kernel band can hold."""

from __future__ import annotations

from enum import IntEnum


class Pte(IntEnum):
    """State of one page of the band, as the model knows it."""

    NONE = 0
    REAL = 1
    SCRATCH = 2
    GARBAGE = 3
    #: The trace has not said yet, or no longer can.
    UNKNOWN = 4

    @property
    def label(self) -> str:
        """The state in a sentence about a page."""
        return _LABELS[self]


_LABELS = {
    Pte.NONE: "unmapped",
    Pte.REAL: "mapped",
    Pte.SCRATCH: "scratched",
    Pte.GARBAGE: "backed by the garbage page",
    Pte.UNKNOWN: "in an unknown state",
}
