"""Frames that have been read and not yet been taken: so many rows at most, whatever comes."""

from __future__ import annotations

import threading
from collections import deque

import polars as pl

#: Rows read ahead, beyond which reading waits; the disk holds the rest.
ROWS = 100_000
#: Seconds between two looks whether reading is over while there is no room.
_LOOK_S = 0.2


class ReadAhead:
    """A queue of frames between one thread that reads and one that takes.

    It holds ``ROWS`` rows, and one frame more. How large a frame is the recorder decides.
    """

    def __init__(self) -> None:
        self._frames: deque[pl.DataFrame] = deque()
        self._rows = 0
        self._changed = threading.Condition()

    def put(self, frame: pl.DataFrame, stopped: threading.Event) -> None:
        """Add ``frame`` once there is room; drops it if ``stopped`` is set before there is."""
        with self._changed:
            while self._rows >= ROWS:
                if stopped.is_set():
                    return
                self._changed.wait(_LOOK_S)
            self._frames.append(frame)
            self._rows += len(frame)
            self._changed.notify_all()

    def take(self, most_rows: int, timeout_s: float = 0.0) -> list[pl.DataFrame]:
        """The first frames, until they have ``most_rows``; waits so long for the first, s."""
        with self._changed:
            if timeout_s:
                self._changed.wait_for(lambda: bool(self._frames), timeout_s)
            taken: list[pl.DataFrame] = []
            rows = 0
            while self._frames and rows < most_rows:
                taken.append(self._frames.popleft())
                rows += len(taken[-1])
            self._rows -= rows
            self._changed.notify_all()
            return taken

    @property
    def empty(self) -> bool:
        """Whether all that was put has been taken."""
        return not self._frames
