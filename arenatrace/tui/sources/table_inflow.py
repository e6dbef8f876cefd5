"""Reads the tables of a trace that is being written, a thread each, no faster than is taken."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl

from arenatrace.errors import ArenatraceError
from arenatrace.schema import TABLES
from arenatrace.trace.follow import follow, frame_of
from arenatrace.tui.labels import internal_error
from arenatrace.tui.sources import read_ahead
from arenatrace.tui.sources.read_ahead import ReadAhead

#: Rows of events taken at once.
_AT_ONCE = 50_000
#: Bytes that stay unfinished for so long, s, are said to be.
_TORN_S = 3.0
#: A reader that has not seen the end for so long, s, is behind: batches come many times a second.
_BEHIND_S = 1.0
#: Seconds between two looks for what else has been read.
_LOOK_S = 0.01
#: Seconds that the readers are given to end.
_END_S = 1.0

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
        self._queues = {table: ReadAhead() for table in TABLES}
        #: Looks are numbered: the one that is asked for, the one that each table's reader is at,
        #: and the last one that found the end of the table.
        self._asked = 0
        self._looking = dict.fromkeys(TABLES, 0)
        self._tips = dict.fromkeys(TABLES, -1)
        self._end_seen = -math.inf
        #: Events that wait for the rows of other tables that they point at.
        self._events: list[pl.DataFrame] = []
        self._over: set[str] = set()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin to read."""
        for table in TABLES:
            name = f"read {table}"
            thread = threading.Thread(target=self._read, args=(table,), name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def join(self) -> None:
        """Wait for the readers, which were told to end; one that takes long is left behind.

        A thread that is inside Arrow when the interpreter goes would take the process along.
        """
        end = time.monotonic() + _END_S
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    @property
    def behind(self) -> bool:
        """Whether the end of the events on the disk has not been seen for longer than usual."""
        return "events" not in self._over and self._clock() - self._end_seen > _BEHIND_S

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
        a table whose end is seen by a look that began after the events were read has all that
        they point at.
        """
        if not self._events:
            self._events = self._queues["events"].take(_AT_ONCE, timeout_s)
            self._asked += 1
        found: dict[str, list[pl.DataFrame]] = {}
        rows = self._others(found)
        while self._events and not self._stopped.is_set() and rows < read_ahead.ROWS:
            if all(map(self._at_tip, _OTHERS)):
                self._others(found)
                taken, self._events = self._events, []
                return [*_joined(found), ("events", pl.concat(taken))]
            self._stopped.wait(_LOOK_S)
            rows += self._others(found)
        return _joined(found)

    def _at_tip(self, table: str) -> bool:
        return self._tips[table] >= self._asked or table in self._over

    def _others(self, found: dict[str, list[pl.DataFrame]]) -> int:
        rows = 0
        for name in _OTHERS:
            frames = self._queues[name].take(read_ahead.ROWS)
            if frames:
                found.setdefault(name, []).extend(frames)
                rows += sum(map(len, frames))
        return rows

    def _read(self, table: str) -> None:
        def looks() -> None:
            self._looking[table] = self._asked

        def waits(pending: int) -> None:
            self._tips[table] = self._looking[table]
            if table == "events":
                self._end_seen = self._clock()
                if pending != self._torn[0]:
                    self._torn = (pending, self._clock())

        try:
            for batch in follow(self._path, table, self._stopped, looks=looks, waits=waits):
                self._queues[table].put(frame_of(batch), self._stopped)
        except ArenatraceError as error:
            self.error = error.message
        except BaseException as error:
            self.error = internal_error(error)
        finally:
            self._over.add(table)


def _joined(found: dict[str, list[pl.DataFrame]]) -> Batches:
    return [(name, pl.concat(found[name])) for name in _OTHERS if name in found]
