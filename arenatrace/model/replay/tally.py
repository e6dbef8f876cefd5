"""Counts of what became of events."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Tally:
    """What became of the events of one arena so far."""

    events: int = 0
    unknown: int = 0
    predicted_addresses: int = 0
    #: Refusals that only a lack of memory or a failed lock explains.
    unexplained: int = 0
    #: Kernel faults whose entry another CPU filled while they were handled.
    install_races: int = 0
    #: Frees of pages that were not allocated: the program's mistake, not the trace's.
    stray_frees: int = 0
    reordered: int = 0
    #: Contradictions among so many overlapping events that their order cannot be settled.
    unsettled: int = 0
    divergences: int = 0

    def copy(self) -> Tally:
        """An independent copy."""
        return Tally(**vars(self))

    def add(self, other: Tally) -> None:
        """Add the counts of ``other``."""
        for name, count in vars(other).items():
            setattr(self, name, getattr(self, name) + count)
