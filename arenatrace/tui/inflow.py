"""Reads the tables of a trace that is being written, a thread each, no faster than is taken."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl

from arenatrace.errors import ArenatraceError
from arenatrace.schema import TABLES
from arenatrace.trace.follow import follow, frame_of
from arenatrace.tui.words import internal_error

#: Batches read ahead of what is taken; beyond it reading waits, the disk holds the rest.
_AHEAD = 64
#: Rows of events taken at once.
_AT_ONCE = 50_000
#: Bytes that stay unfinished for so long, s, are said to be.
_TORN_S = 3.0
#: Seconds between two looks for what else has been read.
_LOOK_S = 0.01

Batches = list[tuple[str, pl.DataFrame]]
_OTHERS = tuple(name for name in TABLES if name != "events")


class Inflow:
    """The batches of the unsealed trace at ``path``, in an order in which they make sense.

    ``error`` says why a table is not read any more; ``clock`` is monotonic, in s.
    """

    def __init__(
        self, path: Path, stopped: threading.Event, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.error = ""
        self._path = path
        self._stopped = stopped
        self._clock = clock
        self._torn = (0, 0.0)
        self._queues: dict[str, queue.Queue[pl.DataFrame]] = {
            table: queue.Queue(_AHEAD) for table in TABLES
        }
        #: Set when a table has been read to its end of the moment.
        self._tips = {table: threading.Event() for table in TABLES}
        self._over: set[str] = set()

    def start(self) -> None:
        """Begin to read."""
        for table in TABLES:
            name = f"read {table}"
            threading.Thread(target=self._read, args=(table,), name=name, daemon=True).start()

    @property
    def behind(self) -> bool:
        """Whether events that are on the disk have not been taken."""
        return not self._tips["events"].is_set() or not self._queues["events"].empty()

    def torn(self) -> str:
        """What to say of an end of the events that stays unfinished; empty if none does."""
        pending, since = self._torn
        if not pending or self._clock() - since <= _TORN_S:
            return ""
        torn = f"events: the last {pending:,} bytes are not a whole batch"
        return f"{torn}: the recorder was killed while it wrote them, or is stuck"

    def take(self, timeout_s: float) -> Batches:
        """What has been read, at most so much, tables before the events that point at them.

        Waits for the first batch of events. A recorder writes those tables before the events. So
        a table that is read to its end after the events were has all that they point at.
        """
        events = self._events(timeout_s)
        found: dict[str, list[pl.DataFrame]] = {}
        if events:
            for name in _OTHERS:
                self._tips[name].clear()
            while not self._stopped.is_set() and not all(map(self._at_tip, _OTHERS)):
                self._others(found)
                self._stopped.wait(_LOOK_S)
        self._others(found)
        taken = [(name, pl.concat(found[name])) for name in _OTHERS if name in found]
        return [*taken, ("events", pl.concat(events))] if events else taken

    def _at_tip(self, table: str) -> bool:
        return self._tips[table].is_set() or table in self._over

    def _events(self, timeout_s: float) -> list[pl.DataFrame]:
        waiting, frames, rows = self._queues["events"], [], 0
        try:
            frames.append(waiting.get(timeout=timeout_s))
            rows = len(frames[0])
            while rows < _AT_ONCE:
                frames.append(waiting.get_nowait())
                rows += len(frames[-1])
        except queue.Empty:
            pass
        return frames

    def _others(self, found: dict[str, list[pl.DataFrame]]) -> None:
        for name in _OTHERS:
            waiting = self._queues[name]
            for _ in range(_AHEAD):
                try:
                    found.setdefault(name, []).append(waiting.get_nowait())
                except queue.Empty:
                    break
            if not found[name]:
                del found[name]

    def _read(self, table: str) -> None:
        tip, waiting = self._tips[table], self._queues[table]

        def waits(pending: int) -> None:
            # what has been read but not taken is no end
            if table == "events" or waiting.empty():
                tip.set()
            if table == "events" and pending != self._torn[0]:
                self._torn = (pending, self._clock())

        try:
            for batch in follow(self._path, table, self._stopped, waits):
                if table == "events":
                    tip.clear()
                frame = frame_of(batch)
                while not self._stopped.is_set():
                    try:
                        waiting.put(frame, timeout=0.2)
                        break
                    except queue.Full:
                        continue
        except ArenatraceError as error:
            self.error = error.message
        except BaseException as error:
            self.error = internal_error(error)
        finally:
            self._over.add(table)
