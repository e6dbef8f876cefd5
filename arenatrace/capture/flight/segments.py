"""The last seconds of a recording on disk, in segments that are dropped one by one."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from arenatrace.capture.flight.folder import FlightFolder, remove, size_of
from arenatrace.capture.flight.live_objects import LiveObjects
from arenatrace.capture.flight.plan import PARTS, FlightPlan
from arenatrace.errors import DiskFullError, UsageError
from arenatrace.schema import Kind
from arenatrace.trace.arrow_schema import arrow_schema
from arenatrace.trace.meta import Meta
from arenatrace.trace.recover import Tail, batches
from arenatrace.trace.writer import TraceWriter

_LOST = pa.scalar(int(Kind.LOST), pa.uint8())


@dataclass
class Segment:
    """A trace of some seconds, from ``start_ns`` to ``end_ns`` (None: it is being written)."""

    path: Path
    start_ns: int
    end_ns: int | None = None
    bytes: int = 0


class FlightSegments:
    """Writes consecutive segments; each begins with the objects that are live at its start.

    ``on_new_files`` is called when everything must be sent and written again. ``append`` and
    ``flush`` raise DiskFullError as a TraceWriter does; then the segment must be finished.
    """

    def __init__(
        self, folder: FlightFolder, meta: Meta, plan: FlightPlan, on_new_files: Callable[[], None]
    ) -> None:
        self.meta = meta
        self.segments: deque[Segment] = deque()
        self._folder = folder
        self._plan = plan
        self._on_new_files = on_new_files
        self._objects = LiveObjects()
        self._number = 0
        self._given = 0
        self._lost: dict[str, int] = {}
        self._begin(meta.start_ts_ns)

    def learn(self, table: str, batch: pa.RecordBatch) -> None:
        """Update the live objects."""
        self._objects.take(table, batch)

    def append(self, table: str, batch: pa.RecordBatch) -> None:
        """Append rows as ``TraceWriter.append`` does."""
        if table == "events":
            self._given += events_in(batch)
        self._writer.append(table, batch)

    def flush(self) -> None:
        """Flush as ``TraceWriter.flush`` does."""
        self._writer.flush()
        self.segments[-1].bytes = size_of(self.segments[-1].path)

    def update_meta(self, **changes: Any) -> None:
        """Update meta.json as ``TraceWriter`` does.

        Losses are those of the whole recording. Never raises.
        """
        if "lost" in changes:
            fresh = {
                what: count - self._lost_before.get(what, 0)
                for what, count in changes["lost"].items()
            }
            self._lost = dict(changes.pop("lost"))
            changes["lost"] = {what: count for what, count in fresh.items() if count > 0}
        if "notices" in changes:
            self.meta = replace(self.meta, notices=changes["notices"])
        if self.writing:
            with contextlib.suppress(DiskFullError):
                self._writer.update_meta(**changes)

    @property
    def writing(self) -> bool:
        """Return whether a segment is being written."""
        return bool(self.segments) and self.segments[-1].end_ns is None

    def is_full(self, now: int) -> bool:
        """Return whether it is time for another segment."""
        segment = self.segments[-1]
        return (
            now - segment.start_ns >= self._plan.part_ns
            or segment.bytes >= self._plan.half_bytes // (2 * PARTS)
        )

    def finish(self, now: int) -> None:
        """Finish the present segment."""
        if not self.writing:
            return
        if self._writer.meta.end_ts_ns is None:
            self.update_meta(end_ts_ns=now)
        self.segments[-1].end_ns = now
        with contextlib.suppress(DiskFullError):
            self._writer.close(seal=False)

    def missing(self) -> int:
        """Return the number of events that the last segment was given and does not have."""
        file = self.segments[-1].path / "events.arrows"
        if not file.exists():
            return self._given
        found = batches(file, arrow_schema("events"), Tail())
        return self._given - sum(map(events_in, found))

    def begin(self, now: int) -> bool:
        """Begin a segment; return False if the disk has no room for it."""
        self._on_new_files()
        count = len(self.segments)
        try:
            self._begin(now)
            self._writer.flush()
        except (DiskFullError, UsageError):
            self._writer.close(seal=False)
            remove(self._folder.segment(self._number - 1))
            if len(self.segments) > count:
                self.segments.pop()
            return False
        return True

    def _begin(self, start_ns: int) -> None:
        path = self._folder.segment(self._number)
        self._number += 1
        self._lost_before = dict(self._lost)
        # no fsync: the syncer's thread waits for the disk, events are waiting here
        meta = replace(self.meta, start_ts_ns=start_ns, lost={})
        self._writer = TraceWriter(path, meta, durable=False)
        for table, batch in self._objects.batches():
            self._writer.append(table, batch)
        self._given = 0
        self.segments.append(Segment(path, start_ns))

    def drop_oldest(self) -> None:
        """Drop the oldest segment, and objects that ended before the next one began."""
        remove(self.segments.popleft().path)
        self._objects.forget(self.segments[0].start_ns)

    def drop_all(self, now: int) -> list[Path]:
        """Drop all segments; the caller deletes the files."""
        paths = [segment.path for segment in self.segments]
        self.segments.clear()
        self._objects.forget(now)
        return paths


def events_in(batch: pa.RecordBatch) -> int:
    """Return its number of events without losses."""
    losses = pc.sum(pc.equal(batch.column("kind"), _LOST)).as_py() or 0
    return int(batch.num_rows) - int(losses)
