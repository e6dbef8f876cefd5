"""States of a page table entry in the arena band."""

from __future__ import annotations

from enum import IntEnum


class Pte(IntEnum):
    """State of one page of the arena band."""

    NONE = 0
    REAL = 1
    SCRATCH = 2
    GARBAGE = 3
    #: No event has shown the state yet, or a loss has made it unknown.
    UNKNOWN = 4

    @property
    def label(self) -> str:
        """Return the state as text, after "page N is"."""
        return _LABELS[self]


_LABELS = {
    Pte.NONE: "unmapped",
    Pte.REAL: "mapped",
    Pte.SCRATCH: "scratched",
    Pte.GARBAGE: "backed by the garbage page",
    Pte.UNKNOWN: "in an unknown state",
}
