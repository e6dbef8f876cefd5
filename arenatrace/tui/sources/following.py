"""A trace that is still being written as a source of the screen, in bounded memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from arenatrace.analysis.explanation import explain_fault
from arenatrace.analysis.faults import fault_contract
from arenatrace.analysis.live.snapshot import WindowSnapshot
from arenatrace.analysis.live.window import LiveWindow
from arenatrace.analysis.pages.positions import Position, position_after, position_before
from arenatrace.analysis.pages.timeline import page_timeline
from arenatrace.analysis.summary.rows import arena_rows, cause_counts, program_rows
from arenatrace.errors import ArenatraceError, TraceError
from arenatrace.trace.meta import read_meta
from arenatrace.tui.labels import internal_error
from arenatrace.tui.picture import Picture
from arenatrace.tui.snapshot import Recording, Snapshot
from arenatrace.tui.sources import queries
from arenatrace.tui.sources.event_rate import EventRate
from arenatrace.tui.sources.evicted_rows import evicted_rows
from arenatrace.tui.sources.source import Publish
from arenatrace.tui.sources.table_inflow import Inflow

#: Seconds between two snapshots, and between two looks at meta.json.
_TICK_S = 0.1
_META_S = 1.0
#: Seconds between two snapshots while nothing happens.
_BEAT_S = 1.0
#: So much longer than usual while nothing is taken because diagnosing is behind.
_HELD_UP_S = 0.3
#: Faults are diagnosed at most this share of the time, and with nothing new so rarely, s.
_SHARE = 0.25
_IDLE_S = 5.0
_LOOK_S = 0.05
#: Panics of polars in a row after which diagnosing is given up.
_MOST_PANICS = 3


class FollowSource:
    """Follows the tables of the unsealed trace at ``path`` and keeps a bounded part of it.

    One thread takes what comes and publishes what can be counted; another one diagnoses faults
    and lets go of what is not needed any more, so that neither waits for the other. Only when
    diagnosing falls behind by two windows nothing is taken for a while: the disk holds the rest.

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
        self._stopped = threading.Event()
        self._panics = self._panics_in_a_row = 0
        self._inflow = Inflow(path, self._stopped, clock)
        # guards what is held; nothing that takes long is done under it
        self._lock = threading.Lock()
        self._recent: LiveWindow | None = None
        self._rows: pl.DataFrame | None = None
        self._diagnosed = 0
        self._taken = 0
        self._news = False
        # guards the order of snapshots: two threads publish
        self._publishing = threading.Lock()
        self._latest: Snapshot | None = None
        self._publish: Publish = lambda _snapshot: None
        self._error = ""
        self._began = clock()

    def start(self, publish: Publish) -> None:
        """Begin to follow; meta.json must be there."""
        self._publish = publish
        meta = read_meta(self._path)
        self._recent = LiveWindow(self._path, meta)
        self._began = self._clock()
        self._latest = Snapshot(
            path=self._path,
            meta=meta,
            stage="",
            explained=True,
            recording=Recording(self._told()),
        )
        publish(self._latest)
        self._inflow.start()
        for name, work in (("follow", self._take), ("diagnose", self._diagnose)):
            threading.Thread(target=self._guarded, args=(work,), name=name, daemon=True).start()

    def stop(self) -> None:
        """Follow no more; who reads has ended by then, or after a second is left behind."""
        self._stopped.set()
        self._inflow.join()

    # threads

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            # whatever it is, a panic of polars (no Exception) included, must not leave a screen
            # that merely looks as if nothing happened
            fault = error.message if isinstance(error, ArenatraceError) else internal_error(error)
            self._change(error=fault, recording=Recording("stopped following", running=False))
            self._stopped.set()

    def _take(self) -> None:
        rate = EventRate(self._clock())
        next_tick = next_meta = next_beat = self._clock()
        recent = self._held()
        while not self._stopped.is_set():
            if recent.is_full:
                self._stopped.wait(_LOOK_S)
                came = self._clock() >= next_tick + _HELD_UP_S
            else:
                came = self._add()
            now = self._clock()
            rate.count(recent.totals.get("events", 0), now)
            if now >= next_meta:
                next_meta = now + _META_S
                if self._look_at_meta():
                    return
            if now >= next_tick and (came or now >= next_beat):
                next_tick, next_beat = now + _TICK_S, now + _BEAT_S
                self._show(rate.per_s)

    def _add(self) -> bool:
        batches = self._inflow.take(_TICK_S)
        for table, frame in batches:
            with self._lock:
                self._held().add(table, frame)
        self._taken += len(batches)
        self._news = self._news or any(table != "events" for table, _ in batches)
        return bool(batches)

    def _diagnose(self) -> None:
        looked_at, next_look, last = -1, 0.0, self._clock()
        while not self._stopped.wait(_LOOK_S):
            now, taken = self._clock(), self._taken
            recent = self._held()
            came = self._news or recent.fault_count != self._diagnosed or now >= last + _IDLE_S
            if not recent.needs_compaction and (now < next_look or taken == looked_at or not came):
                continue
            self._news = False
            if not self._looked():
                continue
            looked_at, last = taken, self._clock()
            next_look = last + (last - now) / _SHARE

    def _looked(self) -> bool:
        """Look once; false if polars panicked, which the next look at other data may not."""
        try:
            self._look_once()
        except pl.exceptions.PanicException:
            # seen once in thousands of looks: its streaming engine, at rows that are whole
            self._panics += 1
            self._panics_in_a_row += 1
            if self._panics_in_a_row >= _MOST_PANICS:
                raise
            return False
        self._panics_in_a_row = 0
        return True

    def _look_once(self) -> None:
        """Diagnose what is there by now, show it, and settle it if it is time to."""
        recent = self._held()
        with self._lock:
            held, due, operations = recent.snapshot(), recent.needs_compaction, recent.activity
        rows = held.diagnosed()
        self._rows, self._diagnosed = rows, held.fault_count
        faults = fault_contract(rows.lazy()).collect()
        every = held.retained.tally.plus(faults)
        causes = every.causes()
        programs, arenas = (held.tables[name].lazy() for name in ("programs", "arenas"))
        self._change(
            faults=faults,
            unlisted=held.retained.evicted_faults,
            signatures=tuple(every.signatures()),
            programs=tuple(program_rows(programs, every.counts("prog_index"), causes)),
            arenas=tuple(arena_rows(arenas, every.counts("arena"), operations.lazy())),
            causes=cause_counts(causes),
        )
        if due:
            kept = held.compacted(rows)
            with self._lock:
                recent.adopt(held, kept)

    def _held(self) -> LiveWindow:
        if self._recent is None:
            # a view may ask between the making of this source and its start
            raise ArenatraceError(f"{self._path}: nothing of it has been read yet", "ask again")
        return self._recent

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

    def _notices(self) -> tuple[str, ...]:
        """Those of the recorder, what is not listed, and an end that stays unfinished."""
        recent, torn = self._held(), self._inflow.torn()
        notices = [*recent.meta.notices, *evicted_rows(recent), *([torn] if torn else [])]
        if self._panics:
            notices.append(f"polars failed {self._panics} time(s) while diagnosing, tried again")
        return tuple(notices)

    def _show(self, per_s: float) -> None:
        recent = self._held()
        meta = recent.meta
        duration = None if recent.last_ts_ns is None else recent.last_ts_ns - meta.start_ts_ns
        lost = max(recent.totals.get("lost", 0), sum(meta.lost.values()))
        self._change(
            meta=meta,
            notices=self._notices(),
            events=recent.totals.get("events", 0),
            totals={**recent.totals, "lost": lost},
            duration_ns=duration,
            since_ns=recent.complete_since_ns,
            error=self._error or self._inflow.error,
            recording=Recording(
                self.state(), elapsed_s=self._clock() - self._began, events_per_s=per_s
            ),
        )

    def state(self) -> str:
        """What is going on, in a word."""
        return "catching up" if self._inflow.behind else self._told()

    def _change(self, **changes: Any) -> None:
        with self._publishing:
            if self._latest is None or self._stopped.is_set():
                return
            self._latest = replace(self._latest, **changes)
            self._publish(self._latest)

    # questions

    def explain(self, number: int) -> Mapping[str, Any] | None:
        """One fault, from what is held; of one that has been settled only what is certain."""
        held, rows = self._now()
        if rows is None:
            return None
        told = explain_fault(held.trace(), rows, number)
        if told is None or number > held.retained.last_diagnosed:
            return told
        # operations around it may have been let go: no picture and no history is better than
        # one with holes that nobody sees
        return {**told, "space": [], "history": [], "earlier": 0}

    def moment_of(self, number: int) -> Position | None:
        """Just before a fault, None if that is not held any more."""
        held, rows = self._now()
        moment = None if rows is None else queries.moment_of(rows, number)
        return (
            None if moment is None or moment[0] < (held.retained.complete_since_ns or 0) else moment
        )

    def moment_near(self, arena: int, at: Position, steps: int) -> Position:
        """One event on, or back, as far as all events are held."""
        held, _rows = self._now()
        near = position_after if steps > 0 else position_before
        found = near(held.state_trace(), arena, at)
        return max(found, (held.retained.complete_since_ns or 0, 0))

    def picture(self, arena: int, at: Position) -> Picture:
        """The pages of an arena at a moment from which on all events are held."""
        held, rows = self._now()
        at = max(at, (held.retained.complete_since_ns or 0, 0))
        return queries.picture(held.state_trace(), rows, arena, at)

    def page_timeline(self, arena: int, page: int) -> list[dict[str, Any]]:
        """What is held of a page's history."""
        held, rows = self._now()
        return [] if rows is None else page_timeline(held.trace(), rows, arena, page, 0)

    def programs(self) -> Sequence[Mapping[str, Any]]:
        """Every program."""
        return queries.programs(self._now()[0].trace())

    def _now(self) -> tuple[WindowSnapshot, pl.DataFrame | None]:
        with self._lock:
            return self._held().snapshot(), self._rows
