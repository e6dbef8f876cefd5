"""Write a recording that retains only the time around faults."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from arenatrace.capture.flight.folder import FlightFolder, remove
from arenatrace.capture.flight.plan import AFTER_S, FlightPlan
from arenatrace.capture.flight.sealer import FlightSealer, Window
from arenatrace.capture.flight.segments import FlightSegments, events_in
from arenatrace.errors import DiskFullError
from arenatrace.schema import FAULT_KINDS
from arenatrace.trace.meta import Meta

_FAULTS = pa.array([int(kind) for kind in FAULT_KINDS], pa.uint8())
_AFTER_NS = int(AFTER_S * 1e9)
#: Label of events that arrived while the disk was full.
NO_ROOM = "events without room on the disk"


def now_ns() -> int:
    """Return CLOCK_MONOTONIC, ns, as events have it."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


@dataclass
class _Pending:
    """A window that is still open: times of its first and last fault, ns."""

    first_ns: int
    last_ns: int


class FlightWriter:
    """A ``TraceWriter`` that retains the last seconds and the windows around faults.

    ``flush`` advances the time: segments end there, old ones are dropped, and a window goes to the
    sealer ``AFTER_S`` after its last fault, or ``keep_s`` after its first if faults do not stop.
    ``on_new_files`` is called when everything must be sent and written again.
    """

    def __init__(
        self,
        folder: FlightFolder,
        meta: Meta,
        plan: FlightPlan,
        on_new_files: Callable[[], None],
        on_status: Callable[[str], None] = lambda _text: None,
    ) -> None:
        self.path = folder.path
        self.notices: list[str] = []
        #: Events that could not be written, by label.
        self.lost: dict[str, int] = {}
        self._folder = folder
        self._plan = plan
        self._on_status = on_status
        self._sealer = FlightSealer(folder, plan, on_status)
        self._segments = FlightSegments(folder, meta, plan, on_new_files)
        self._pending: _Pending | None = None
        self._shortened_ns: int | None = None
        self._room_since_ns: int | None = None
        self._closed = False

    @property
    def meta(self) -> Meta:
        """Meta of the whole recording."""
        return self._segments.meta

    @property
    def windows(self) -> list[Path]:
        """Windows sealed so far, dropped ones included."""
        return list(self._sealer.sealed)

    @property
    def dropped(self) -> int:
        """Number of windows that were dropped for space."""
        return self._sealer.dropped

    def append(self, table: str, batch: pa.RecordBatch) -> None:
        """Append rows; a full disk loses only what does not fit."""
        self._segments.learn(table, batch)
        if not self._segments.writing:
            self._count_lost(events_in(batch) if table == "events" else 0)
            return
        if table == "events":
            self._watch(batch)
        try:
            self._segments.append(table, batch)
        except DiskFullError:
            self._end_full_segment(now_ns())

    def flush(self) -> None:
        """Flush; must be called every second."""
        now = now_ns()
        if not self._segments.writing and not self._resume(now):
            return
        try:
            self._segments.flush()
        except DiskFullError:
            self._end_full_segment(now)
            return
        if self._is_over(now):
            self._turn(now)
            self._seal_window()
        elif self._segments.is_full(now):
            self._turn(now)
        self._drop_old(now)

    def update_meta(self, **changes: Any) -> None:
        """Update meta; losses are those of the whole recording."""
        self._segments.update_meta(**changes)

    def close(self, seal: bool = True) -> Path:
        """End the recording; an open window is sealed as it is."""
        if self._closed:
            return self.path
        self._closed = True
        try:
            self._segments.finish(now_ns())
            if seal:
                self._seal_window()
        finally:
            self._sealer.close()
            self._folder.close()
        if seal:
            for segment in self._segments.segments:
                remove(segment.path)
        self.notices += self._sealer.failures
        if NO_ROOM in self.lost:
            self.notices.append("the disk was full for some time: nothing was recorded meanwhile")
        return self.path

    def _turn(self, now: int) -> None:
        self._segments.finish(now)
        if not self._segments.begin(now):
            self._wait_for_space(now)

    def _drop_old(self, now: int) -> None:
        """Drop the oldest segments that no window can need, or that do not fit."""
        segments = self._segments.segments
        keep_ns = int(self._plan.keep_s * 1e9)
        needed_from = (self._pending.first_ns if self._pending else now) - keep_ns
        while len(segments) > 1:
            oldest = segments[0]
            ended = oldest.end_ns if oldest.end_ns is not None else now
            too_much = sum(each.bytes for each in segments) > self._plan.half_bytes
            if ended > needed_from and not too_much:
                break
            if self._sealer.needs(oldest.path):
                break
            if ended > needed_from:
                self._shortened_ns = ended
            self._segments.drop_oldest()

    # ---- full disk ----

    def _end_full_segment(self, now: int) -> None:
        """Finish the segment that the disk could not take; the retained time ends there."""
        self._segments.finish(now)
        self._count_lost(self._segments.missing())
        self._wait_for_space(now)

    def _wait_for_space(self, now: int) -> None:
        """Seal an open window, drop the segments, and wait for free space."""
        self._on_status(
            f"{self.path}: no space left on the device: recording pauses until there is"
        )
        self._seal_window("the disk was full: it may end too early")
        self._sealer.remove_when_unused(self._segments.drop_all(now))

    def _resume(self, now: int) -> bool:
        """Begin a segment again if the disk has room for it."""
        if not self._segments.begin(now):
            return False
        self._room_since_ns = now
        self._on_status(f"{self.path}: space is available again: recording")
        return True

    def _count_lost(self, events: int) -> None:
        if events:
            self.lost[NO_ROOM] = self.lost.get(NO_ROOM, 0) + events

    # ---- windows ----

    def _watch(self, batch: pa.RecordBatch) -> None:
        faults = pc.is_in(batch.column("kind"), _FAULTS)
        times = batch.column("ts_ns").filter(faults)
        if not len(times):
            return
        first, last = pc.min(times).as_py(), pc.max(times).as_py()
        if self._pending is None:
            self._pending = _Pending(first, last)
        else:
            self._pending.last_ns = max(self._pending.last_ns, last)

    def _is_over(self, now: int) -> bool:
        if self._pending is None:
            return False
        longest = self._pending.first_ns + int(self._plan.keep_s * 1e9) + _AFTER_NS
        return now >= min(self._pending.last_ns + _AFTER_NS, longest)

    def _seal_window(self, *notices: str) -> None:
        """Queue all finished segments that overlap the window."""
        if self._pending is None:
            return
        first = self._pending.first_ns
        since = first - int(self._plan.keep_s * 1e9)
        mine = [
            each
            for each in self._segments.segments
            if each.end_ns is not None and each.end_ns > since
        ]
        self._sealer.seal(
            Window(
                tuple(each.path for each in mine),
                self._folder.window(first + self.meta.wall_offset_ns),
                (*self._explain(mine[0].start_ns, first), *notices),
            )
        )
        self._pending = None

    def _explain(self, start_ns: int, first_ns: int) -> list[str]:
        before = (first_ns - start_ns) / 1e9
        notices = [f"a flight recorder's window: it begins {before:.1f} s before its first fault"]
        if self._shortened_ns is not None and self._shortened_ns > first_ns - int(
            self._plan.keep_s * 1e9
        ):
            notices.append(
                "the retained time is shorter than --keep, for want of space (--max-size)"
            )
        if start_ns == self._room_since_ns:
            notices.append("the disk was full before")
        if self.dropped:
            notices.append(f"{self.dropped} older window(s) were dropped to make room")
        return notices
