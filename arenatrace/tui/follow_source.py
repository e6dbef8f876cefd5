"""A trace that is still being written as a source of the screen, in constant memory."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from arenatrace.analysis.explanation import explain_fault
from arenatrace.analysis.faults import fault_contract
from arenatrace.analysis.moments import END, Moment
from arenatrace.analysis.page_story import page_story
from arenatrace.analysis.recent import Recent
from arenatrace.errors import ArenatraceError, TraceError
from arenatrace.schema import TABLES
from arenatrace.trace.follow import follow, frame_of
from arenatrace.trace.meta import Meta, read_meta
from arenatrace.trace.reader import Trace
from arenatrace.tui import questions
from arenatrace.tui.live_tables import arena_rows, program_rows
from arenatrace.tui.picture import Picture
from arenatrace.tui.snapshot import Recording, Snapshot
from arenatrace.tui.source import Publish

#: Batches read ahead of what is worked through; beyond it reading waits, the disk holds the rest.
_AHEAD = 64
#: Rows worked through at once.
_AT_ONCE = 50_000
#: Seconds between two snapshots, and between two looks at meta.json.
_TICK_S = 0.1
_META_S = 1.0
#: Seconds between two snapshots while nothing happens.
_BEAT_S = 1.0
#: Faults are diagnosed at most this share of the time, and with nothing new so rarely, s.
_SHARE = 0.25
_IDLE_S = 5.0
#: Bytes that stay unfinished for so long, s, are said to be.
_TORN_S = 3.0

Batches = list[tuple[str, pl.DataFrame]]


class FollowSource:
    """Follows the tables of the unsealed trace at ``path`` and keeps a bounded part of it.

    ``ended`` is called, from a thread, once the recording has ended and the trace is sealed.
    ``clock`` is monotonic, in s.
    """

    def __init__(
        self,
        path: Path,
        *,
        ended: Callable[[], None] = lambda: None,
        told: Callable[[], str] = lambda: "following",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._ended = ended
        self._clock = clock
        self._told = told
        self._torn = (0, 0.0)
        self._stopped = threading.Event()
        self._queue: queue.Queue[tuple[str, pl.DataFrame]] = queue.Queue(_AHEAD)
        # guards what is held while a view asks about it
        self._lock = threading.Lock()
        self._recent: Recent | None = None
        self._rows: pl.DataFrame | None = None
        self._latest: Snapshot | None = None
        self._publish: Publish = lambda _snapshot: None
        #: Set when a table has been read to its end of the moment.
        self._tips = {table: threading.Event() for table in TABLES}
        self._over: set[str] = set()
        self._later: list[pl.DataFrame] = []
        self._error = ""
        self._began = clock()

    def start(self, publish: Publish) -> None:
        """Begin to follow; meta.json must be there."""
        self._publish = publish
        meta = read_meta(self._path)
        self._recent = Recent(self._path, meta)
        self._began = self._clock()
        self._latest = Snapshot(
            path=self._path,
            meta=meta,
            stage="",
            explained=True,
            recording=Recording(self._told()),
        )
        publish(self._latest)
        for table in TABLES:
            threading.Thread(target=self._read, args=(table,), daemon=True).start()
        threading.Thread(target=self._work, name="follow", daemon=True).start()

    def stop(self) -> None:
        """Follow no more."""
        self._stopped.set()

    # threads

    def _read(self, table: str) -> None:
        tip = self._tips[table]

        def waits(pending: int) -> None:
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
                        self._queue.put((table, frame), timeout=0.2)
                        break
                    except queue.Full:
                        continue
        except ArenatraceError as error:
            self._error = error.message
        finally:
            self._over.add(table)

    def _notices(self) -> tuple[str, ...]:
        """Those of the recorder, and one if the end of the stream stays unfinished."""
        notices = tuple(self._held().meta.notices)
        pending, since = self._torn
        if pending and self._clock() - since > _TORN_S:
            torn = f"events: the last {pending:,} bytes are not a whole batch"
            return (*notices, f"{torn}: the recorder was killed while it wrote them, or is stuck")
        return notices

    def _work(self) -> None:
        try:
            self._work_through()
        except Exception as error:
            # whatever it is must not leave a screen that merely looks as if nothing happened
            fault = error.message if isinstance(error, ArenatraceError) else _told(error)
            self._change(error=fault, recording=Recording("stopped following", running=False))

    def _work_through(self) -> None:
        rate = _Rate(self._clock())
        next_tick = next_meta = next_look = next_beat = self._clock()
        changes, looked_at, news = 0, -1, False
        while not self._stopped.is_set():
            batches = self._take()
            with self._lock:
                for table, frame in batches:
                    self._held().add(table, frame)
            changes += len(batches)
            news = news or any(table != "events" for table, _ in batches)
            now = self._clock()
            rate.count(self._held().totals.get("events", 0), now)
            if now >= next_meta:
                next_meta = now + _META_S
                if self._look_at_meta():
                    return
            due = news or self._faults_came() or now >= next_look + _IDLE_S
            if now >= next_look and changes != looked_at and due:
                self._diagnose()
                looked_at, news = changes, False
                cost = self._clock() - now
                next_look = self._clock() + cost / _SHARE
            if now >= next_tick and (batches or now >= next_beat):
                next_tick, next_beat = now + _TICK_S, now + _BEAT_S
                self._show(rate.per_s)

    def _take(self) -> Batches:
        """What has been read, at most so much, tables before the events that point at them.

        A recorder writes those tables before the events. So a table that is read to its end
        after the events were has all that they point at.
        """
        found: dict[str, list[pl.DataFrame]] = {}
        if self._later:
            found["events"], self._later = self._later, []
        self._drain(found, _TICK_S)
        if "events" in found:
            others = [name for name in TABLES if name != "events"]
            for name in others:
                self._tips[name].clear()
            aside: dict[str, list[pl.DataFrame]] = {}
            while not self._stopped.is_set() and not all(
                self._tips[name].is_set() or name in self._over for name in others
            ):
                self._drain(aside, _TICK_S / 10)
            self._drain(aside, 0)
            self._later = aside.pop("events", [])
            for name, frames in aside.items():
                found.setdefault(name, []).extend(frames)
        order = [*(name for name in TABLES if name != "events"), "events"]
        return [(name, pl.concat(found[name])) for name in order if name in found]

    def _drain(self, found: dict[str, list[pl.DataFrame]], timeout: float) -> None:
        """Add what is in the queue to ``found``, up to so many rows; wait for the first."""
        rows = 0
        try:
            table, frame = self._queue.get(timeout=timeout) if timeout else self._queue.get_nowait()
            while True:
                found.setdefault(table, []).append(frame)
                rows += len(frame)
                if rows >= _AT_ONCE:
                    return
                table, frame = self._queue.get_nowait()
        except queue.Empty:
            return

    def _held(self) -> Recent:
        assert self._recent is not None  # noqa: S101 - start() made it
        return self._recent

    def _faults_came(self) -> bool:
        known = 0 if self._rows is None else len(self._rows) + self._known_unlisted
        return self._held().fault_count != known

    _known_unlisted = 0

    def _look_at_meta(self) -> bool:
        """Take over what meta.json says by now; whether the recording has ended."""
        try:
            meta = read_meta(self._path)
        except TraceError as error:
            self._error = error.message
            return False
        self._held().meta = meta
        if meta.sealed:
            self._ended()
            return True
        return False

    def _diagnose(self) -> None:
        with self._lock:
            recent = self._held()
            self._rows = recent.diagnosed()
            self._known_unlisted = recent.unlisted
            tally = recent.tally
            arenas, programs = recent.table("arenas"), recent.table("programs")
            unlisted, operations = recent.unlisted, recent.operations
        faults = fault_contract(self._rows.lazy()).collect()
        every = tally.plus(faults)
        self._change(
            faults=faults,
            unlisted=unlisted,
            signatures=tuple(every.signatures()),
            programs=tuple(program_rows(programs, every)),
            arenas=tuple(arena_rows(arenas, every, operations)),
            causes=every.causes(),
        )

    def _show(self, per_s: float) -> None:
        recent = self._held()
        meta: Meta = recent.meta
        duration = None if recent.last_ts_ns is None else recent.last_ts_ns - meta.start_ts_ns
        lost = max(recent.totals.get("lost", 0), sum(meta.lost.values()))
        self._change(
            meta=meta,
            notices=self._notices(),
            events=recent.totals.get("events", 0),
            totals={**recent.totals, "lost": lost},
            duration_ns=duration,
            error=self._error,
            recording=Recording(
                self.state(), elapsed_s=self._clock() - self._began, events_per_s=per_s
            ),
        )

    def state(self) -> str:
        """What is going on, in a word."""
        return self._told() if self._tips["events"].is_set() else "catching up"

    def _change(self, **changes: Any) -> None:
        if self._latest is None or self._stopped.is_set():
            return
        self._latest = replace(self._latest, **changes)
        self._publish(self._latest)

    # questions

    def explain(self, number: int) -> Mapping[str, Any] | None:
        """One fault, from what is held; of one that has been settled only what is certain."""
        with self._lock:
            trace, rows, settled = self._now()
        if rows is None:
            return None
        told = explain_fault(trace, rows, number)
        if told is None or number > settled:
            return told
        # operations around it may have been let go: no picture and no history is better than
        # one with holes that nobody sees
        return {**told, "space": [], "history": [], "earlier": 0}

    def moment_of(self, number: int) -> Moment | None:
        """The end: earlier states are not held."""
        del number
        return None

    def moment_near(self, arena: int, at: Moment, steps: int) -> Moment:
        """The present: earlier states are not held."""
        del arena, at, steps
        return END

    def picture(self, arena: int, at: Moment) -> Picture:
        """The pages of an arena by now."""
        del at
        with self._lock:
            trace, rows, _settled = self._now()
        return questions.picture(trace, rows, arena, END)

    def page_story(self, arena: int, page: int) -> list[dict[str, Any]]:
        """What is held of a page's history."""
        with self._lock:
            trace, rows, _settled = self._now()
        return [] if rows is None else page_story(trace, rows, arena, page, 0)

    def programs(self) -> Sequence[Mapping[str, Any]]:
        """Every program."""
        with self._lock:
            trace, _rows, _settled = self._now()
        return questions.programs(trace)

    def _now(self) -> tuple[Trace, pl.DataFrame | None, int]:
        recent = self._held()
        return recent.trace(), self._rows, recent.settled


def _told(error: Exception) -> str:
    return f"internal error: {type(error).__name__}: {error}".splitlines()[0]


class _Rate:
    """Events a second, over the last second or so."""

    def __init__(self, now: float) -> None:
        self.per_s = 0.0
        self._since = now
        self._before = 0

    def count(self, events: int, now: float) -> None:
        passed = now - self._since
        if passed >= 1.0:
            self.per_s = (events - self._before) / passed
            self._since, self._before = now, events
