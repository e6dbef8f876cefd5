"""Bounded queue of frames that were read and not yet taken."""

from __future__ import annotations

import threading
from collections import deque

import polars as pl

#: Rows read ahead, at most; the rest stays on the disk.
ROWS = 100_000
#: Interval at which a waiting reader checks whether to stop, s.
_POLL_S = 0.2


class ReadAhead:
    """A queue of frames between one reader thread and one consumer.

    It has room for ``ROWS`` rows plus one frame, whose size the recorder decides.
    """

    def __init__(self) -> None:
        self._frames: deque[pl.DataFrame] = deque()
        self._rows = 0
        self._changed = threading.Condition()

    def put(self, frame: pl.DataFrame, stopped: threading.Event) -> None:
        """Add ``frame`` when there is room; drop it if ``stopped`` is set before."""
        with self._changed:
            while self._rows >= ROWS:
                if stopped.is_set():
                    return
                self._changed.wait(_POLL_S)
            self._frames.append(frame)
            self._rows += len(frame)
            self._changed.notify_all()

    def take(self, most_rows: int, timeout_s: float = 0.0) -> list[pl.DataFrame]:
        """Remove and return frames up to ``most_rows``; wait ``timeout_s`` for the first."""
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
        """Return whether every frame has been taken."""
        return not self._frames
