"""Seal windows beside the recording, which must not wait for it."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from dataclasses import dataclass
from pathlib import Path

from arenatrace.capture.flight_folder import FlightFolder, remove, size_of
from arenatrace.capture.flight_plan import FlightPlan
from arenatrace.errors import ArenatraceError
from arenatrace.trace.window import join

#: The recorder's own work comes first.
_NICE = 10


@dataclass(frozen=True)
class Window:
    """Segments that make a window, the name it gets, and what its readers are told."""

    segments: tuple[Path, ...]
    target: Path
    notices: tuple[str, ...]


class FlightSealer:
    """A thread that makes windows and keeps their number and size within the plan.

    ``sealed``, ``dropped`` and ``failures`` are what became of them so far.
    """

    def __init__(self, folder: FlightFolder, plan: FlightPlan) -> None:
        self._folder = folder
        self._plan = plan
        self._waiting: queue.Queue[Window | None] = queue.Queue()
        self._lock = threading.Lock()
        self._in_use: list[Path] = []
        self.sealed: list[Path] = []
        self.dropped = 0
        self.failures: list[str] = []
        self._thread = threading.Thread(target=self._run, name="seal", daemon=True)
        self._thread.start()

    def seal(self, window: Window) -> None:
        """Have ``window`` made; its segments stay until it is."""
        with self._lock:
            self._in_use += window.segments
        self._waiting.put(window)

    def needs(self, segment: Path) -> bool:
        """Whether ``segment`` belongs to a window that is not made yet."""
        with self._lock:
            return segment in self._in_use

    def close(self) -> None:
        """Wait until all is done."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        while (window := self._waiting.get()) is not None:
            self._make(window)
            with self._lock:
                for segment in window.segments:
                    self._in_use.remove(segment)

    def _make(self, window: Window) -> None:
        hidden = self._folder.hidden(window.target)
        try:
            join(window.segments, hidden, window.notices)
            hidden.rename(window.target)
        except (ArenatraceError, OSError) as error:
            remove(hidden)
            self.failures.append(f"{window.target.name}: not sealed: {error}")
            return
        self.sealed.append(window.target)
        self._make_room(window.target)

    def _make_room(self, newest: Path) -> None:
        """Drop the oldest windows until the rest is within the plan; the newest stays."""
        windows = self._folder.windows()
        sizes = {path: size_of(path) for path in windows}
        while len(windows) > 1 and (
            len(windows) > self._plan.max_windows or sum(sizes.values()) > self._plan.half_bytes
        ):
            oldest = next(path for path in windows if path != newest)
            windows.remove(oldest)
            del sizes[oldest]
            remove(oldest)
            self.dropped += 1
