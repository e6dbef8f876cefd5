"""Counts of the events of an arena by result."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Tally:
    """Events of one arena so far, by result."""

    events: int = 0
    unknown: int = 0
    predicted_addresses: int = 0
    #: Refusals that only a lack of memory or a failed lock explains.
    unexplained: int = 0
    #: Kernel faults whose page table entry another CPU filled during the handling.
    install_races: int = 0
    #: Frees of pages that were not allocated: a bug of the program, not of the trace.
    stray_frees: int = 0
    reordered: int = 0
    #: Contradictions among overlapping events without any order that explains them.
    unsettled: int = 0
    divergences: int = 0

    def copy(self) -> Tally:
        """Return an independent copy."""
        return Tally(**vars(self))

    def add(self, other: Tally) -> None:
        """Add the counts of ``other``."""
        for name, count in vars(other).items():
            setattr(self, name, getattr(self, name) + count)
