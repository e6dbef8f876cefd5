"""The two rings of a recording, mapped or, where that is not allowed, through BCC's callbacks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Protocol

import numpy as np

from arenatrace.capture.probes.loader import Probes
from arenatrace.capture.ring.ring_buffer import HEADER_BYTES, RECORD, MappedRing, Records

#: Set to anything, the rings are not mapped: for tests of the other way.
UNMAPPED = "ARENATRACE_UNMAPPED_RINGS"


class Ring(Protocol):
    """What the drain needs of a ring; positions are bytes since the start."""

    @property
    def consumed(self) -> int:
        """Up to where records were taken."""

    @property
    def produced(self) -> int:
        """Up to where records may be taken."""

    def advance(self, position: int) -> None:
        """Records before ``position`` are no longer needed."""

    def filled(self) -> float:
        """How full the ring is, 0 to 1."""

    def events(self, until: int) -> tuple[Records, int]:
        """Finished events before ``until``, good until ``advance``, and the position after."""

    def notes(self) -> Iterator[bytes]:
        """Finished records of any length, consumed as they are handed out."""

    def unfinished(self) -> int:
        """How many records are reserved and not consumed."""


class Rings:
    """Both rings, mapped: nothing runs for a single record."""

    events: Ring
    notes: Ring
    #: What a user must know of how the rings are read.
    notice: str | None = None

    def pump(self) -> None:
        """Bring in what there is, before ``produced`` is looked at."""

    def settle(self) -> None:
        """After the last record was sent: let ``produced`` cover all of them."""


class MappedRings(Rings):
    """Rings read where they are; OSError if they cannot be mapped."""

    def __init__(self, probes: Probes) -> None:
        sizes = probes.ring_sizes
        self.events = MappedRing(probes.map_fd("events"), sizes.events)
        self.notes = MappedRing(probes.map_fd("notes"), sizes.notes)


class CallbackRings(Rings):
    """Rings that BCC reads, calling back for every record.

    What was brought in by one call may need a note that comes with the next, for example
    because another CPU was still writing one before it. So events are given out one call late.
    """

    def __init__(self, probes: Probes, why: str) -> None:
        self.notice = (
            f"the ring buffers cannot be mapped ({why}): events are taken one by one, which is "
            "slow; more of them may be lost"
        )
        self._probes = probes
        self._events = _Received(probes.ring_sizes.events)
        self._notes = _Received(probes.ring_sizes.notes)
        self.events, self.notes = self._events, self._notes
        probes.open_callbacks({"notes": self._notes.receive, "events": self._events.receive})

    def pump(self) -> None:
        """Have everything that is in the rings called back."""
        self._events.give_out()
        self._probes.consume()
        self._notes.give_out()

    def settle(self) -> None:
        """Two calls: the second one's notes are those of the first one's events."""
        self.pump()
        self.pump()


class _Received:
    """Records as they were called back, in a buffer that looks like a ring from outside."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._buffer = bytearray()
        self._lengths: list[int] = []
        self.consumed = 0
        self.produced = 0

    def receive(self, record: bytes) -> None:
        """Keep one record, with room for the header it had in the ring."""
        self._buffer += bytes(HEADER_BYTES)
        self._buffer += record
        self._lengths.append(len(record))

    def give_out(self) -> None:
        """Let what was received until now be taken."""
        self.produced = self.consumed + len(self._buffer)

    def advance(self, position: int) -> None:
        """Forget the events before ``position``."""
        count = (position - self.consumed) // RECORD.itemsize
        del self._buffer[: position - self.consumed]
        del self._lengths[:count]
        self.consumed = position

    def filled(self) -> float:
        """The true ring is out of sight: always worth a call."""
        return 1.0

    def events(self, until: int) -> tuple[Records, int]:
        """Events before ``until``; all of them have the same size."""
        count = (until - self.consumed) // RECORD.itemsize
        records = np.frombuffer(bytes(self._buffer[: count * RECORD.itemsize]), RECORD)
        return records, self.consumed + count * RECORD.itemsize

    def notes(self) -> Iterator[bytes]:
        """Everything given out."""
        at, position = 0, self.consumed
        lengths = self._lengths
        taken = 0
        while position < self.produced:
            length = lengths[taken]
            yield bytes(self._buffer[at + HEADER_BYTES : at + HEADER_BYTES + length])
            at += HEADER_BYTES + length
            position += HEADER_BYTES + length
            taken += 1
        del self._buffer[:at]
        del lengths[:taken]
        self.consumed = position

    def unfinished(self) -> int:
        """Not to be known; what is never finished is never called back."""
        return 0


def open_rings(probes: Probes) -> Rings:
    """The rings of ``probes``, mapped if the kernel and the environment allow it."""
    if os.environ.get(UNMAPPED):
        return CallbackRings(probes, f"{UNMAPPED} is set")
    try:
        return MappedRings(probes)
    except OSError as exc:
        return CallbackRings(probes, exc.strerror or str(exc))
