"""The last seconds of a recording on the disk, in parts that can go one by one."""

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
from arenatrace.capture.flight.live_objects import Facts
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
    """Writes one segment after another; each begins with what is there at its beginning.

    ``on_new_files`` is called when everything must be sent and written anew. ``append`` and
    ``flush`` raise DiskFullError as a TraceWriter does; the segment is then to be finished.
    """

    def __init__(
        self, folder: FlightFolder, meta: Meta, plan: FlightPlan, on_new_files: Callable[[], None]
    ) -> None:
        self.meta = meta
        self.kept: deque[Segment] = deque()
        self._folder = folder
        self._plan = plan
        self._on_new_files = on_new_files
        self._facts = Facts()
        self._number = 0
        self._given = 0
        self._lost: dict[str, int] = {}
        self._begin(meta.start_ts_ns)

    def learn(self, table: str, batch: pa.RecordBatch) -> None:
        """Remember what later segments have to begin with."""
        self._facts.take(table, batch)

    def append(self, table: str, batch: pa.RecordBatch) -> None:
        """As ``TraceWriter.append``."""
        if table == "events":
            self._given += events_in(batch)
        self._writer.append(table, batch)

    def flush(self) -> None:
        """As ``TraceWriter.flush``."""
        self._writer.flush()
        self.kept[-1].bytes = size_of(self.kept[-1].path)

    def update_meta(self, **changes: Any) -> None:
        """As ``TraceWriter.update_meta``; losses are the whole recording's. Never raises."""
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
        """Whether there is a segment that is not finished."""
        return bool(self.kept) and self.kept[-1].end_ns is None

    def is_full(self, now: int) -> bool:
        """Whether it is time for another segment."""
        segment = self.kept[-1]
        return (
            now - segment.start_ns >= self._plan.part_ns
            or segment.bytes >= self._plan.half_bytes // (2 * PARTS)
        )

    def finish(self, now: int) -> None:
        """End the segment that is being written."""
        if not self.writing:
            return
        if self._writer.meta.end_ts_ns is None:
            self.update_meta(end_ts_ns=now)
        self.kept[-1].end_ns = now
        with contextlib.suppress(DiskFullError):
            self._writer.close(seal=False)

    def missing(self) -> int:
        """How many of the events that the last segment was given are not in it."""
        file = self.kept[-1].path / "events.arrows"
        if not file.exists():
            return self._given
        found = batches(file, arrow_schema("events"), Tail())
        return self._given - sum(map(events_in, found))

    def begin(self, now: int) -> bool:
        """Begin another segment; False if the disk has no room for its beginning."""
        self._on_new_files()
        count = len(self.kept)
        try:
            self._begin(now)
            self._writer.flush()
        except (DiskFullError, UsageError):
            self._writer.close(seal=False)
            remove(self._folder.segment(self._number - 1))
            if len(self.kept) > count:
                self.kept.pop()
            return False
        return True

    def _begin(self, start_ns: int) -> None:
        path = self._folder.segment(self._number)
        self._number += 1
        self._lost_before = dict(self._lost)
        # the syncer's thread waits for the disk; here events are waiting to be read
        meta = replace(self.meta, start_ts_ns=start_ns, lost={})
        self._writer = TraceWriter(path, meta, durable=False)
        for table, batch in self._facts.batches():
            self._writer.append(table, batch)
        self._given = 0
        self.kept.append(Segment(path, start_ns))

    def drop_oldest(self) -> None:
        """Remove the oldest one, and forget what had ended before the next one began."""
        remove(self.kept.popleft().path)
        self._facts.forget(self.kept[0].start_ns)

    def let_go(self, now: int) -> list[Path]:
        """Keep none; they are whoever's that removes them."""
        paths = [segment.path for segment in self.kept]
        self.kept.clear()
        self._facts.forget(now)
        return paths


def events_in(batch: pa.RecordBatch) -> int:
    """Its rows without those that tell of losses."""
    losses = pc.sum(pc.equal(batch.column("kind"), _LOST)).as_py() or 0
    return int(batch.num_rows) - int(losses)
