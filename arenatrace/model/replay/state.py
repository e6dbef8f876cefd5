"""State of an arena during a replay, with the counts and proofs so far."""

from __future__ import annotations

from arenatrace.model.kernel.arena import Arena
from arenatrace.model.ops import Segment
from arenatrace.model.replay.tally import Tally


class State:
    """One arena during a replay. ``segment`` has the events by position."""

    def __init__(self, arena: Arena, *, alive: bool = True) -> None:
        self.arena = arena
        self.tally = Tally()
        self.segment: Segment | None = None
        #: False after the arena was destroyed.
        self.alive = alive
        #: Accept a refusal whose cause leaves no event: no memory, a lock that was not acquired.
        self.lenient = False
        #: A page of this arena has been scratched, so allocations need the slow check.
        self.scratch_seen = False
        #: A refusal had no cause in the model. It may have changed the order of equal ranges.
        self.order_doubted = False
        #: Profile name to (seq, sentence): the first event that only this profile allows.
        self.proofs: dict[str, tuple[int, str]] = {}

    def copy_to(self, other: State) -> None:
        """Copy everything but the arena and ``alive`` to ``other``."""
        other.tally = self.tally.copy()
        other.segment = self.segment
        other.scratch_seen = self.scratch_seen
        other.order_doubted = self.order_doubted
        other.proofs = self.proofs.copy()

    def prove(self, profile: str, at: int, sentence: str) -> None:
        """Record the event at position ``at`` as proof of ``profile``, if it is the first."""
        if profile not in self.proofs and self.segment is not None:
            self.proofs[profile] = (self.segment.seq[at], sentence)
