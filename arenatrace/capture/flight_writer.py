"""Write a trace of which only the time around faults is kept."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from arenatrace.capture.facts import Facts
from arenatrace.capture.flight_folder import FlightFolder, remove, size_of
from arenatrace.capture.flight_plan import AFTER_S, PARTS, FlightPlan
from arenatrace.capture.flight_sealer import FlightSealer, Window
from arenatrace.schema import Kind
from arenatrace.trace.meta import Meta
from arenatrace.trace.writer import TraceWriter

_FAULTS = pa.array([int(Kind.KERNEL_FAULT), int(Kind.PROG_FAULT)], pa.uint8())
_AFTER_NS = int(AFTER_S * 1e9)


def now_ns() -> int:
    """CLOCK_MONOTONIC, as events have it."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


@dataclass
class _Segment:
    path: Path
    start_ns: int
    end_ns: int | None = None
    bytes: int = 0


@dataclass
class _Pending:
    """A window that is not over yet: times of its first and last fault, ns."""

    first_ns: int
    last_ns: int


class FlightWriter:
    """Takes what a ``TraceWriter`` takes; keeps the last seconds, and windows around faults.

    ``flush`` is where time passes: segments end there, old ones go, and a window is handed to
    the sealer ``AFTER_S`` after its last fault, or ``keep_s`` after its first where they do
    not stop. ``on_new_files`` is called when everything must be written anew.
    """

    def __init__(
        self, folder: FlightFolder, meta: Meta, plan: FlightPlan, on_new_files: Callable[[], None]
    ) -> None:
        self.path = folder.path
        self.meta = meta
        self.notices: list[str] = []
        self._folder = folder
        self._plan = plan
        self._on_new_files = on_new_files
        self._facts = Facts()
        self._sealer = FlightSealer(folder, plan)
        self._segments: deque[_Segment] = deque()
        self._pending: _Pending | None = None
        self._number = 0
        self._shortened_ns: int | None = None
        self._closed = False
        self._begin(meta.start_ts_ns)

    @property
    def windows(self) -> list[Path]:
        """Sealed so far, those dropped since among them."""
        return list(self._sealer.sealed)

    @property
    def dropped(self) -> int:
        """Windows that had to make room."""
        return self._sealer.dropped

    def append(self, table: str, batch: pa.RecordBatch) -> None:
        """As ``TraceWriter.append``."""
        self._facts.take(table, batch)
        if table == "events":
            self._watch(batch)
        self._writer.append(table, batch)

    def flush(self) -> None:
        """As ``TraceWriter.flush``; to be called every second."""
        self._writer.flush()
        now = now_ns()
        self._segments[-1].bytes = size_of(self._segments[-1].path)
        if self._is_over(now):
            self._end_window(now)
        elif self._is_full(now):
            self._turn(now)
        self._drop_old(now)

    def update_meta(self, **changes: Any) -> None:
        """As ``TraceWriter.update_meta``; losses are the whole recording's."""
        if "lost" in changes:
            fresh = {
                what: count - self._lost_before.get(what, 0)
                for what, count in changes["lost"].items()
            }
            self._lost = dict(changes.pop("lost"))
            changes["lost"] = {what: count for what, count in fresh.items() if count > 0}
        if "notices" in changes:
            self.meta = replace(self.meta, notices=changes["notices"])
        self._writer.update_meta(**changes)

    def close(self, seal: bool = True) -> Path:
        """End the recording; a window that is not over is sealed as it is."""
        if self._closed:
            return self.path
        self._closed = True
        try:
            if seal and self._pending is not None:
                self._finish(now_ns())
                self._seal_window()
            else:
                self._writer.close(seal=False)
        finally:
            self._sealer.close()
            self._folder.close()
        if seal:
            for segment in self._segments:
                remove(segment.path)
        self.notices += self._sealer.failures
        return self.path

    # ---- segments ----

    def _begin(self, start_ns: int) -> None:
        path = self._folder.segment(self._number)
        self._number += 1
        self._lost_before: dict[str, int] = getattr(self, "_lost", {})
        # the syncer's thread waits for the disk; here events are waiting to be read
        meta = replace(self.meta, start_ts_ns=start_ns, lost={})
        self._writer = TraceWriter(path, meta, durable=False)
        for table, batch in self._facts.batches():
            self._writer.append(table, batch)
        self._segments.append(_Segment(path, start_ns))

    def _finish(self, now: int) -> None:
        self._segments[-1].end_ns = now
        if self._writer.meta.end_ts_ns is None:
            self._writer.update_meta(end_ts_ns=now)
        self._writer.close(seal=False)

    def _turn(self, now: int) -> None:
        self._finish(now)
        self._on_new_files()
        self._begin(now)

    def _is_full(self, now: int) -> bool:
        segment = self._segments[-1]
        return (
            now - segment.start_ns >= self._plan.part_ns
            or segment.bytes >= self._plan.half_bytes // (2 * PARTS)
        )

    def _drop_old(self, now: int) -> None:
        """Remove the oldest segments that no window can need, or that do not fit."""
        keep_ns = int(self._plan.keep_s * 1e9)
        needed_from = (self._pending.first_ns if self._pending else now) - keep_ns
        while len(self._segments) > 1:
            oldest = self._segments[0]
            ended = oldest.end_ns if oldest.end_ns is not None else now
            too_much = sum(each.bytes for each in self._segments) > self._plan.half_bytes
            if ended > needed_from and not too_much:
                break
            if self._sealer.needs(oldest.path):
                break
            if ended > needed_from:
                self._shortened_ns = ended
            self._segments.popleft()
            remove(oldest.path)
            self._facts.forget(self._segments[0].start_ns)

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

    def _end_window(self, now: int) -> None:
        self._turn(now)
        self._seal_window()

    def _seal_window(self) -> None:
        """Hand all finished segments that reach into the window to the sealer."""
        if self._pending is None:
            return
        first = self._pending.first_ns
        since = first - int(self._plan.keep_s * 1e9)
        mine = [each for each in self._segments if each.end_ns is not None and each.end_ns > since]
        self._sealer.seal(
            Window(
                tuple(each.path for each in mine),
                self._folder.window(first + self.meta.wall_offset_ns),
                tuple(self._explain(mine[0].start_ns, first)),
            )
        )
        self._pending = None

    def _explain(self, start_ns: int, first_ns: int) -> list[str]:
        before = (first_ns - start_ns) / 1e9
        said = [f"a flight recorder's window: it begins {before:.1f} s before its first fault"]
        if self._shortened_ns is not None and self._shortened_ns > first_ns - int(
            self._plan.keep_s * 1e9
        ):
            said.append("there was no room for the whole time asked for (--max-size)")
        if self.dropped:
            said.append(f"{self.dropped} older window(s) were dropped to make room")
        return said
