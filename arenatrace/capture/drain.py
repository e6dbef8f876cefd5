"""Move what the probes sent from the rings into the trace."""

from __future__ import annotations

import time

import pyarrow as pa

from arenatrace.capture.decode import Decoder
from arenatrace.capture.flight_writer import FlightWriter
from arenatrace.capture.ledger import Ledger, Row
from arenatrace.capture.loader import Probes
from arenatrace.capture.notes import parse
from arenatrace.capture.ring import MappedRing
from arenatrace.schema import LOST_NOTES, LOST_STACKS, Kind
from arenatrace.trace.arrow_schema import arrow_schema
from arenatrace.trace.writer import TraceWriter

#: Seconds that records still being written are waited for after the end of a recording.
STRAGGLERS_S = 2.0


class Drain:
    """The consumer of both rings, and the keeper of the counts of what was lost."""

    def __init__(
        self, probes: Probes, ledger: Ledger, decoder: Decoder, writer: TraceWriter | FlightWriter
    ) -> None:
        self._probes = probes
        self._events = MappedRing(probes.map_fd("events"), probes.ring_sizes.events)
        self._notes = MappedRing(probes.map_fd("notes"), probes.ring_sizes.notes)
        self._ledger = ledger
        self._decoder = decoder
        self._writer = writer
        self._bad_notes = 0
        #: Losses so far, by kind of event or by what lost them.
        self.lost: dict[str, int] = {}

    def take(self) -> int:
        """Take everything that is ready; returns the number of events taken.

        A note is sent before the event that needs it. So the events up to where their ring
        stands now may be decoded once all notes up to where *theirs* stands a moment later
        have been read; as long as one of those is still being written, they wait.
        """
        until = self._events.produced
        notes_until = self._notes.produced
        for raw in self._notes.notes():
            try:
                self._ledger.note(parse(raw))
            except ValueError:
                self._bad_notes += 1
        if self._notes.consumed < notes_until:
            self._write_facts()
            return 0
        records, position = self._events.events(until)
        batch = self._decoder.batch(records) if len(records) else None
        # what rows point at is written before the rows
        self._write_facts()
        if batch is not None:
            self._writer.append("events", batch)
        self._events.advance(position)
        return len(records)

    def take_rest(self) -> None:
        """After the probes were told to stop: take all, and count what never gets finished."""
        deadline = time.monotonic() + STRAGGLERS_S
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
        """Put a row into the trace for the events lost since the last look."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        codes = {kind.label: int(kind) for kind in Kind}
        for label, total in self._probes.lost_events().items():
            fresh = total - self.lost.get(label, 0)
            if fresh > 0:
                self._writer.append("events", self._decoder.lost(now, codes.get(label, 0), fresh))
                self.lost[label] = total
        for name, missed in self._probes.recursion_misses().items():
            self.lost[f"missed by {name}"] = missed
        self.lost.update(self._probes.lost_notes())

    def notices(self) -> list[str]:
        """What a reader of the trace must know of how it was drained."""
        notices = []
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
        return notices

    def _write_facts(self) -> None:
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
