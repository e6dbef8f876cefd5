"""Seal windows in a thread, so that the recording does not wait."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from arenatrace.capture.flight.folder import FlightFolder, remove, size_of
from arenatrace.capture.flight.plan import FlightPlan
from arenatrace.trace.join_segments import join

#: Niceness: the recorder itself comes first.
_NICE = 10


@dataclass(frozen=True)
class Window:
    """Segments of a window, its name, and warnings for its readers."""

    segments: tuple[Path, ...]
    target: Path
    notices: tuple[str, ...]


class FlightSealer:
    """A thread that seals windows and keeps their number and size within the plan.

    ``sealed`` and ``failures`` list the windows so far, ``dropped`` counts them.
    """

    def __init__(
        self, folder: FlightFolder, plan: FlightPlan, on_status: Callable[[str], None]
    ) -> None:
        self._folder = folder
        self._plan = plan
        self._on_status = on_status
        self._waiting: queue.Queue[Window | None] = queue.Queue()
        self._lock = threading.Lock()
        self._in_use: list[Path] = []
        self._given_up: list[Path] = []
        self.sealed: list[Path] = []
        self.dropped = 0
        self.failures: list[str] = []
        self._thread = threading.Thread(target=self._run, name="seal", daemon=True)
        self._thread.start()

    def seal(self, window: Window) -> None:
        """Queue ``window``; its segments stay until it is sealed."""
        with self._lock:
            self._in_use += window.segments
        self._waiting.put(window)

    def needs(self, segment: Path) -> bool:
        """Return whether ``segment`` belongs to a queued window."""
        with self._lock:
            return segment in self._in_use

    def remove_when_unused(self, segments: Sequence[Path]) -> None:
        """Remove ``segments`` when no queued window needs them."""
        with self._lock:
            self._given_up += segments
        self._clear_up()

    def _clear_up(self) -> None:
        with self._lock:
            over = [path for path in self._given_up if path not in self._in_use]
            self._given_up = [path for path in self._given_up if path in self._in_use]
        for path in over:
            remove(path)

    def close(self) -> None:
        """Wait until the queue is empty."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        while (window := self._waiting.get()) is not None:
            try:
                self._make(window)
            except Exception as error:
                # later windows must still be sealed
                self._fail(f"{window.target.name}: not made: {error}")
            finally:
                with self._lock:
                    for segment in window.segments:
                        self._in_use.remove(segment)
                self._clear_up()

    def _fail(self, why: str) -> None:
        self.failures.append(why)
        self._on_status(why)

    def _make(self, window: Window) -> None:
        hidden = self._folder.hidden(window.target)
        # on a full disk some segments may have become windows of their own, see below
        segments = [path for path in window.segments if path.exists()]
        gone = len(window.segments) - len(segments)
        if not segments:
            self._fail(f"{window.target.name}: not made: all of it is in windows before it")
            return
        notices = window.notices
        if gone:
            notices = (*notices, f"{gone} part(s) of this window are in windows before it")
        made = [window.target]
        try:
            join(segments, hidden, notices)
            hidden.rename(window.target)
            self.sealed.append(window.target)
        except Exception as error:
            remove(hidden)
            made = self._leave_unsealed(window, segments, error)
        self._make_room(made)

    def _leave_unsealed(
        self, window: Window, segments: Sequence[Path], error: Exception
    ) -> list[Path]:
        """Turn the segments into unsealed windows, which a full disk has room for."""
        made = []
        for path in segments:
            name = self._folder.free_name(window.target)
            try:
                path.rename(name)
            except OSError as refused:
                self._fail(f"{window.target.name}: a part of it is lost: {refused}")
                continue
            made.append(name)
        self.sealed += made
        why = f"{window.target.name}: not sealed: {error}"
        if len(made) > 1:
            why += f"; it is in {len(made)} parts"
        self._fail(why)
        return made

    def _make_room(self, newest: Sequence[Path]) -> None:
        """Remove the oldest windows until the rest is within the plan.

        The ``newest`` stay: one window, or its parts, which count as one.
        """
        older = [path for path in self._folder.windows() if path not in newest]
        sizes = {path: size_of(path) for path in (*older, *newest)}
        while older and (
            len(older) >= self._plan.max_windows or sum(sizes.values()) > self._plan.half_bytes
        ):
            oldest = older.pop(0)
            del sizes[oldest]
            remove(oldest)
            self.dropped += 1
