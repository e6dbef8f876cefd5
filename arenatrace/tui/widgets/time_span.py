"""Time span of the map; converts between positions, shares of the span and text."""

from __future__ import annotations

from arenatrace.analysis.pages.positions import END, Position
from arenatrace.report.units import duration, since
from arenatrace.tui.snapshot import Snapshot


class TimeSpan:
    """From the beginning of the recording of ``snapshot``, or of its window, to the end."""

    def __init__(self, snapshot: Snapshot | None) -> None:
        self._snapshot = snapshot

    @property
    def ends_ns(self) -> tuple[int, int]:
        """Begin and end, CLOCK_MONOTONIC ns."""
        snapshot = self._snapshot
        if snapshot is None:
            return 0, 1
        start = snapshot.meta.start_ts_ns
        end = start + (snapshot.duration_ns or 0)
        begin = start if snapshot.since_ns is None else snapshot.since_ns
        return begin, max(begin + 1, end)

    def share(self, ts_ns: int) -> float:
        """Return the elapsed share at a time, 0 to 1."""
        begin, end = self.ends_ns
        return max(0.0, min(1.0, (ts_ns - begin) / (end - begin)))

    def position(self, share: float) -> Position:
        """Return the position at an elapsed share."""
        begin, end = self.ends_ns
        return END if share >= 1 else (begin + round(share * (end - begin)), 0)

    def label(self, position: Position) -> str:
        """Return a position as text."""
        snapshot = self._snapshot
        if position == END:
            recording = None if snapshot is None else snapshot.recording
            return "now" if recording is not None and recording.running else "at the end"
        if snapshot is None or position[0] < 0:
            return "unknown time"
        elapsed = since(position[0], snapshot.meta.start_ts_ns)
        return f"{elapsed}, evicted" if self.is_before(position[0]) else elapsed

    def is_before(self, ts_ns: int) -> bool:
        """Return whether the states at this time are unknown until the recording has ended."""
        snapshot = self._snapshot
        return snapshot is not None and snapshot.since_ns is not None and ts_ns < snapshot.since_ns

    @property
    def before(self) -> str:
        """Return the end of that time as text; empty if there is none."""
        snapshot = self._snapshot
        if snapshot is None or snapshot.since_ns is None:
            return ""
        return f"before {duration(snapshot.since_ns - snapshot.meta.start_ts_ns)}: on the disk"
