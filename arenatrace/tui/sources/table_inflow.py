"""Readers of the tables of a growing trace, one thread each, with backpressure."""

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
#: Time after which incomplete bytes at the end are reported, s.
_TORN_S = 3.0
#: Time without reaching the end after which a reader is behind, s; batches come many times a
#: second.
_BEHIND_S = 1.0
#: Interval of polls for further rows, s.
_POLL_S = 0.01
#: Time that readers have to end, s.
_END_S = 1.0

Batches = list[tuple[str, pl.DataFrame]]
_OTHERS = tuple(name for name in TABLES if name != "events")


class Inflow:
    """Batches of the unsealed trace at ``path``, tables before the events that refer to them.

    ``error`` says why a table is no longer read; ``clock`` is monotonic, in s.
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
        #: Polls are numbered: the requested one, the one each reader is at, and the last one that
        #: found the end of the table.
        self._asked = 0
        self._looking = dict.fromkeys(TABLES, 0)
        self._tips = dict.fromkeys(TABLES, -1)
        self._end_seen = -math.inf
        #: Events that wait for rows of other tables.
        self._events: list[pl.DataFrame] = []
        self._over: set[str] = set()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start reading."""
        for table in TABLES:
            name = f"read {table}"
            thread = threading.Thread(target=self._read, args=(table,), name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def join(self) -> None:
        """Wait for the readers, which were asked to end; abandon a slow one.

        A thread inside Arrow at interpreter exit would crash the process.
        """
        end = time.monotonic() + _END_S
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    @property
    def behind(self) -> bool:
        """Return whether the end of the events on disk was not reached for longer than usual."""
        return "events" not in self._over and self._clock() - self._end_seen > _BEHIND_S

    def torn(self) -> str:
        """Return the warning about an incomplete end of the events; empty if there is none."""
        pending, since = self._torn
        if not pending or self._clock() - since <= _TORN_S:
            return ""
        torn = f"events: the last {pending:,} bytes are an incomplete batch"
        return f"{torn}: the recorder was killed while it wrote them, or is stuck"

    def take(self, timeout_s: float) -> Batches:
        """Return rows read so far, at most this many, tables before the events that refer to them.

        Waits for the first batch of events. The recorder writes the other tables before the events.
        So a table whose end was reached by a poll that began after the events were read has every
        row they refer to.
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
            self._stopped.wait(_POLL_S)
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
            for batch in follow(self._path, table, self._stopped, on_poll=looks, on_wait=waits):
                self._queues[table].put(frame_of(batch), self._stopped)
        except ArenatraceError as error:
            self.error = error.message
        except BaseException as error:
            self.error = internal_error(error)
        finally:
            self._over.add(table)


def _joined(found: dict[str, list[pl.DataFrame]]) -> Batches:
    return [(name, pl.concat(found[name])) for name in _OTHERS if name in found]
