"""The two rings of a recording, mapped or, if that is refused, through BCC's callbacks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Protocol

import numpy as np

from arenatrace.capture.probes.loader import Probes
from arenatrace.capture.ring.ring_buffer import HEADER_BYTES, RECORD, MappedRing, Records

#: Environment variable for tests: use callbacks instead of mapped rings.
UNMAPPED = "ARENATRACE_UNMAPPED_RINGS"


class Ring(Protocol):
    """A ring as the drain reads it. Positions are bytes since the start of the recording."""

    @property
    def consumed(self) -> int:
        """Position after the last consumed record."""

    @property
    def produced(self) -> int:
        """Position after the last record that can be consumed."""

    def advance(self, position: int) -> None:
        """Free the records before ``position``."""

    def filled(self) -> float:
        """Return the fill level, 0 to 1."""

    def events(self, until: int) -> tuple[Records, int]:
        """Return finished events before ``until`` and the position after them.

        The events are valid until ``advance``.
        """

    def notes(self) -> Iterator[bytes]:
        """Yield finished records of any length; each is consumed when yielded."""

    def unfinished(self) -> int:
        """Return the number of records that are reserved and not consumed."""


class Rings:
    """The ring of events and the ring of notes."""

    events: Ring
    notes: Ring
    #: Warning about the way the rings are read.
    notice: str | None = None

    def poll(self) -> None:
        """Update ``produced``."""

    def finish(self) -> None:
        """Let ``produced`` cover every record, after the last one was sent."""


class MappedRings(Rings):
    """Rings in mapped memory; no code runs per record. Raises OSError if they cannot be mapped."""

    def __init__(self, probes: Probes) -> None:
        sizes = probes.ring_sizes
        self.events = MappedRing(probes.map_fd("events"), sizes.events)
        self.notes = MappedRing(probes.map_fd("notes"), sizes.notes)


class CallbackRings(Rings):
    """Rings that BCC reads, with a callback for every record.

    An event may need a note that arrives with the next poll, because another CPU was still writing
    an earlier record. So events are released one poll late.
    """

    def __init__(self, probes: Probes, why: str) -> None:
        self.notice = (
            f"the ring buffers cannot be mapped ({why}): events are read one by one, which is "
            "slow; more of them may be lost"
        )
        self._probes = probes
        self._events = _ReceivedRecords(probes.ring_sizes.events)
        self._notes = _ReceivedRecords(probes.ring_sizes.notes)
        self.events, self.notes = self._events, self._notes
        probes.open_callbacks({"notes": self._notes.receive, "events": self._events.receive})

    def poll(self) -> None:
        """Read all records; release events of the previous poll and notes of this one."""
        self._events.release()
        self._probes.consume()
        self._notes.release()

    def finish(self) -> None:
        """Poll twice: the second poll has the notes of the first one's events."""
        self.poll()
        self.poll()


class _ReceivedRecords:
    """Records from callbacks in a buffer with the interface of a ring."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._buffer = bytearray()
        self._lengths: list[int] = []
        self.consumed = 0
        self.produced = 0

    def receive(self, record: bytes) -> None:
        """Append one record, with space for the header that it had in the ring."""
        self._buffer += bytes(HEADER_BYTES)
        self._buffer += record
        self._lengths.append(len(record))

    def release(self) -> None:
        """Make all received records consumable."""
        self.produced = self.consumed + len(self._buffer)

    def advance(self, position: int) -> None:
        """Free the events before ``position``."""
        count = (position - self.consumed) // RECORD.itemsize
        del self._buffer[: position - self.consumed]
        del self._lengths[:count]
        self.consumed = position

    def filled(self) -> float:
        """Return 1: the kernel's ring is not visible, so every poll reads it."""
        return 1.0

    def events(self, until: int) -> tuple[Records, int]:
        """Return the events before ``until``."""
        count = (until - self.consumed) // RECORD.itemsize
        records = np.frombuffer(bytes(self._buffer[: count * RECORD.itemsize]), RECORD)
        return records, self.consumed + count * RECORD.itemsize

    def notes(self) -> Iterator[bytes]:
        """Yield the released records."""
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
        """Return 0: libbpf never delivers uncommitted records, so their number is unavailable."""
        return 0


def open_rings(probes: Probes) -> Rings:
    """Return the rings of ``probes``, mapped if the kernel and the environment allow it."""
    if os.environ.get(UNMAPPED):
        return CallbackRings(probes, f"{UNMAPPED} is set")
    try:
        return MappedRings(probes)
    except OSError as exc:
        return CallbackRings(probes, exc.strerror or str(exc))
