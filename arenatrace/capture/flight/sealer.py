"""Seal windows beside the recording, which must not wait for it."""

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
        """Have ``window`` made; its segments stay until it is."""
        with self._lock:
            self._in_use += window.segments
        self._waiting.put(window)

    def needs(self, segment: Path) -> bool:
        """Whether ``segment`` belongs to a window that is not made yet."""
        with self._lock:
            return segment in self._in_use

    def give_up(self, segments: Sequence[Path]) -> None:
        """Remove ``segments`` as soon as no window needs them."""
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
        """Wait until all is done."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        while (window := self._waiting.get()) is not None:
            try:
                self._make(window)
            except Exception as error:
                # the windows after this one must still be made
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
        # a full disk may have made windows of their own of some, see below
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
            made = self._keep_unsealed(window, segments, error)
        self._make_room(made)

    def _keep_unsealed(self, window: Window, kept: Sequence[Path], error: Exception) -> list[Path]:
        """Let the segments be windows as they are: a full disk has room for that."""
        made = []
        for path in kept:
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
        """Drop the oldest windows until the rest is within the plan.

        The ``newest`` stay: one window, or the parts of one, which count as one.
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
