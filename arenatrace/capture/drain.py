"""Move records from the rings into the trace."""

from __future__ import annotations

import time

import pyarrow as pa

from arenatrace.capture.decode.decoder import Decoder
from arenatrace.capture.flight.writer import FlightWriter
from arenatrace.capture.identity.arenas import Row
from arenatrace.capture.identity.ledger import Ledger
from arenatrace.capture.probes.loader import Probes
from arenatrace.capture.probes.losses import LossCounter
from arenatrace.capture.probes.rings import open_rings
from arenatrace.capture.probes.stack_cache import StackMismatch
from arenatrace.capture.ring.notes import parse
from arenatrace.capture.ring.ring_buffer import RECORD
from arenatrace.schema import DOUBTFUL_STACKS, LOST_NOTES, LOST_STACKS
from arenatrace.trace.arrow_schema import arrow_schema
from arenatrace.trace.writer import TraceWriter

#: Grace period for unfinished records after the end of a recording, s.
STRAGGLERS_S = 2.0

#: A pass costs as much as thousands of events. One runs before each flush, and when a ring is
#: filled to this part.
FULL_ENOUGH = 1 / 8

#: Events per pass, at most: their columns should fit the CPU's cache.
PASS_EVENTS = 32 * 1024


class Drain:
    """The consumer of both rings, and the counter of losses."""

    def __init__(
        self, probes: Probes, ledger: Ledger, decoder: Decoder, writer: TraceWriter | FlightWriter
    ) -> None:
        self._probes = probes
        self._rings = open_rings(probes)
        self._events, self._notes = self._rings.events, self._rings.notes
        self._ledger = ledger
        self._decoder = decoder
        self._writer = writer
        self._bad_notes = 0
        self._mismatch: StackMismatch | None = None
        self._began_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        self._losses = LossCounter(probes, self._began_ns)
        #: Losses so far, by kind of event or label.
        self.lost: dict[str, int] = {}

    @property
    def notice(self) -> str | None:
        """Warning about the drain, known before it starts."""
        return self._rings.notice

    @property
    def due(self) -> bool:
        """Return whether a ring is full enough for a pass."""
        return self._events.filled() >= FULL_ENOUGH or self._notes.filled() >= FULL_ENOUGH

    def take(self) -> int:
        """Take finished events, up to ``PASS_EVENTS``; return their number.

        A note is sent before the event that needs it. So events up to the present position of their
        ring can be decoded once all notes up to the position that *their* ring has a moment later
        are read. While one of those notes is unfinished, the events wait.
        """
        self._rings.poll()
        until = min(self._events.produced, self._events.consumed + PASS_EVENTS * RECORD.itemsize)
        notes_until = self._notes.produced
        for raw in self._notes.notes():
            try:
                self._ledger.note(parse(raw))
            except ValueError:
                self._bad_notes += 1
        if self._notes.consumed < notes_until:
            self._write_metadata()
            return 0
        records, position = self._events.events(until)
        batch = self._decoder.batch(records) if len(records) else None
        # rows that events refer to are written first
        self._write_metadata()
        if batch is not None:
            self._writer.append("events", batch)
        self._events.advance(position)
        return len(records)

    def take_ready(self) -> int:
        """Take everything that is finished now; return the number of events."""
        until, taken = self._events.produced, 0
        while True:
            count = self.take()
            taken += count
            if not count or self._events.consumed >= until:
                return taken

    def take_rest(self) -> None:
        """Take everything after the probes were stopped, and count records that stay unfinished."""
        deadline = time.monotonic() + STRAGGLERS_S
        self._rings.finish()
        while self._events.consumed < self._events.produced or (
            self._notes.consumed < self._notes.produced
        ):
            if not self.take():
                if time.monotonic() > deadline:
                    break
                time.sleep(0.005)
        for ring, what in ((self._events, "unfinished events"), (self._notes, "unfinished notes")):
            left = ring.unfinished()
            if left:
                self.lost[what] = left

    def count_losses(self) -> None:
        """Write rows for the events lost since the last poll."""
        losses = self._losses.poll(time.clock_gettime_ns(time.CLOCK_MONOTONIC))
        self.lost |= self._losses.totals
        self._mismatch = self._probes.stack_mismatch()
        if self._mismatch is not None:
            self.lost[DOUBTFUL_STACKS] = self._mismatch.uses
        # a full disk takes no rows, but the counts must be known
        for loss in losses:
            self._writer.append("events", self._decoder.lost(loss))

    def notices(self) -> list[str]:
        """Return warnings about the drain for readers of the trace."""
        notices = [self._rings.notice] if self._rings.notice else []
        if self._decoder.unrelated_oopses:
            notices.append(
                f"{self._decoder.unrelated_oopses} kernel fault(s) outside every arena were left "
                "out: they are some other bug, see dmesg"
            )
        if self._bad_notes:
            notices.append(f"{self._bad_notes} note(s) from the probes could not be read")
        notes, stacks = self.lost.get(LOST_NOTES), self.lost.get(LOST_STACKS)
        if notes:
            notices.append(f"{notes} note(s) lost: names, source lines or stacks may be missing")
        if stacks:
            notices.append(f"{stacks} allocation(s), free(s) or reservation(s) lack their stack")
        if self._mismatch is not None:
            until = (self._mismatch.last_ns - self._began_ns) / 1e9
            notices.append(
                f"the stack cache returned a wrong stack {until:.3f} s after the start: "
                f"{self._mismatch.uses} earlier allocations, frees and reservations may have a "
                "wrong stack; every later stack was walked"
            )
        notices += [
            f"{count} run(s) of the probe {name} were skipped by the kernel: it was running on "
            "that CPU already"
            for name, count in self._losses.skipped.items()
        ]
        return notices

    def _write_metadata(self) -> None:
        ledger = self._ledger
        for table, rows in (
            ("arenas", ledger.arenas.rows),
            ("programs", ledger.programs.rows),
            ("stacks", ledger.stacks.rows),
            ("symbols", ledger.symbol_rows),
        ):
            if rows:
                self._writer.append(table, _batch(table, rows))
                rows.clear()


def _batch(table: str, rows: list[Row]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(rows, schema=arrow_schema(table))
