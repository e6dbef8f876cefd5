"""Flight recorder with a fake clock."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from arenatrace.capture.flight import writer as flight_writer
from arenatrace.capture.flight.folder import FlightFolder
from arenatrace.capture.flight.plan import FlightPlan
from arenatrace.capture.flight.writer import FlightWriter
from arenatrace.schema import Kind
from arenatrace.trace.arrow_schema import arrow_schema
from arenatrace.trace.meta import Meta
from arenatrace.trace.reader import Trace, open_trace

S = 1_000_000_000


START = 1000 * S


def batch(table: str, *rows: dict[str, Any]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(list(rows), schema=arrow_schema(table))


@dataclass
class Flight:
    """A writer with its clock, status messages and count of requested new files."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    plan: FlightPlan = field(default_factory=lambda: FlightPlan(20.0))
    new_files: int = 0
    seq: int = 0
    now: int = START
    statuses: list[str] = field(default_factory=list)

    def open(self) -> FlightWriter:
        """Start recording."""
        self.monkeypatch.setattr(flight_writer, "now_ns", lambda: self.now)
        meta = Meta("7.2", start_ts_ns=START, wall_offset_ns=10**18)
        self.locked = FlightFolder(self.folder)
        self.writer = FlightWriter(self.locked, meta, self.plan, self._again, self.statuses.append)
        return self.writer

    def _again(self) -> None:
        self.new_files += 1

    def event(self, kind: Kind = Kind.PAGE_ALLOC, **values: Any) -> None:
        """Append one event at the present time."""
        row = {"ts_ns": self.now, "seq": self.seq, "kind": int(kind), "arena": 0, **values}
        self.writer.append("events", batch("events", row))
        self.seq += 1

    def wait(self, seconds: int, *, events: bool = True) -> None:
        """Advance the clock, with an event and a flush every second."""
        for _ in range(seconds):
            self.now += S
            if events:
                self.event()
            self.writer.flush()

    def hear(self, text: str) -> None:
        """Wait until the sealer's thread has reported ``text``."""
        until = time.monotonic() + 30
        while not any(text in line for line in self.statuses):
            assert time.monotonic() < until, self.statuses
            time.sleep(0.01)

    def windows(self) -> list[Trace]:
        """Return the sealed windows, oldest first."""
        paths = self.folder.glob("*.atrace")
        return [open_trace(path) for path in sorted(paths, key=lambda path: path.stat().st_mtime)]


def times(trace: Trace) -> tuple[int, int]:
    """Return the first and last second of the events of a trace, since the start."""
    times = trace.scan("events").collect()["ts_ns"]
    return (times[0] - START) // S, (times[-1] - START) // S
