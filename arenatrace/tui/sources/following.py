"""Source for a trace that is still being written, in bounded memory."""

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
from arenatrace.tui.page_glyphs import Picture
from arenatrace.tui.snapshot import Recording, Snapshot
from arenatrace.tui.sources import queries
from arenatrace.tui.sources.event_rate import EventRate
from arenatrace.tui.sources.evicted_rows import evicted_rows
from arenatrace.tui.sources.source import Publish
from arenatrace.tui.sources.table_inflow import Inflow

#: Seconds between snapshots, and between reads of meta.json.
_TICK_S = 0.1
_META_S = 1.0
#: Seconds between snapshots while nothing changes.
_BEAT_S = 1.0
#: Extra seconds between snapshots while a full window waits for the diagnosis.
_FULL_WINDOW_DELAY_S = 0.3
#: Share of the time for diagnosing faults, at most; and the interval without new events, s.
_SHARE = 0.25
_IDLE_S = 5.0
#: Seconds between checks for new rows and for room in the window.
_POLL_S = 0.05
#: Consecutive panics of polars before diagnosing stops.
_MOST_PANICS = 3


class FollowSource:
    """Follows the tables of the unsealed trace at ``path`` in a bounded window.

    One thread reads and publishes counts. Another diagnoses faults and evicts rows, so neither
    waits for the other. If diagnosing falls behind by two windows, reading pauses; the data stays
    on the disk.

    ``ended`` is called, from a thread, when the recording has ended and the trace is sealed.
    ``clock`` is monotonic, in s.
    """

    def __init__(
        self,
        path: Path,
        *,
        ended: Callable[[], None] = lambda: None,
        status: Callable[[], str] = lambda: "following",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._ended = ended
        self._clock = clock
        self._status = status
        self._stopped = threading.Event()
        self._panics = self._panics_in_a_row = 0
        self._inflow = Inflow(path, self._stopped, clock)
        # guards the window; no long computation runs under it
        self._lock = threading.Lock()
        self._live: LiveWindow | None = None
        self._rows: pl.DataFrame | None = None
        self._diagnosed = 0
        self._batch_count = 0
        self._changed = False
        # guards the order of snapshots: two threads publish
        self._publishing = threading.Lock()
        self._latest: Snapshot | None = None
        self._publish: Publish = lambda _snapshot: None
        self._error = ""
        self._began = clock()

    def start(self, publish: Publish) -> None:
        """Start following; meta.json must exist."""
        self._publish = publish
        meta = read_meta(self._path)
        self._live = LiveWindow(self._path, meta)
        self._began = self._clock()
        self._latest = Snapshot(
            path=self._path,
            meta=meta,
            stage="",
            explained=True,
            recording=Recording(self._status()),
        )
        publish(self._latest)
        self._inflow.start()
        for name, work in (("follow", self._take), ("diagnose", self._diagnose)):
            threading.Thread(target=self._guarded, args=(work,), name=name, daemon=True).start()

    def stop(self) -> None:
        """Stop following; a reader that takes longer than a second is abandoned."""
        self._stopped.set()
        self._inflow.join()

    # threads

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            # catch everything, a panic of polars (not an Exception) included: a screen that
            # silently stops updating would look as if nothing happened
            fault = error.message if isinstance(error, ArenatraceError) else internal_error(error)
            self._change(error=fault, recording=Recording("stopped following", running=False))
            self._stopped.set()

    def _take(self) -> None:
        rate = EventRate(self._clock())
        next_tick = next_meta = next_beat = self._clock()
        live = self._window()
        while not self._stopped.is_set():
            if live.is_full:
                self._stopped.wait(_POLL_S)
                is_stale = self._clock() >= next_tick + _FULL_WINDOW_DELAY_S
            else:
                is_stale = self._add()
            now = self._clock()
            rate.count(live.totals.get("events", 0), now)
            if now >= next_meta:
                next_meta = now + _META_S
                if self._read_meta():
                    return
            if now >= next_tick and (is_stale or now >= next_beat):
                next_tick, next_beat = now + _TICK_S, now + _BEAT_S
                self._show(rate.per_s)

    def _add(self) -> bool:
        batches = self._inflow.take(_TICK_S)
        for table, frame in batches:
            with self._lock:
                self._window().add(table, frame)
        self._batch_count += len(batches)
        self._changed = self._changed or any(table != "events" for table, _ in batches)
        return bool(batches)

    def _diagnose(self) -> None:
        diagnosed_count, next_time_s, last = -1, 0.0, self._clock()
        while not self._stopped.wait(_POLL_S):
            now, batch_count = self._clock(), self._batch_count
            live = self._window()
            has_changed = (
                self._changed or live.fault_count != self._diagnosed or now >= last + _IDLE_S
            )
            is_due = now >= next_time_s and batch_count != diagnosed_count and has_changed
            if not live.needs_compaction and not is_due:
                continue
            self._changed = False
            if not self._poll():
                continue
            diagnosed_count, last = batch_count, self._clock()
            next_time_s = last + (last - now) / _SHARE

    def _poll(self) -> bool:
        """Poll once; return False if polars panicked, which other data may not repeat."""
        try:
            self._poll_once()
        except pl.exceptions.PanicException:
            # seen once in thousands of polls, in polars' streaming engine, on valid rows
            self._panics += 1
            self._panics_in_a_row += 1
            if self._panics_in_a_row >= _MOST_PANICS:
                raise
            return False
        self._panics_in_a_row = 0
        return True

    def _poll_once(self) -> None:
        """Diagnose the present window, publish it, and evict settled rows if compaction is due."""
        live = self._window()
        with self._lock:
            window, due, operations = live.snapshot(), live.needs_compaction, live.activity
        rows = window.diagnosed()
        self._rows, self._diagnosed = rows, window.fault_count
        faults = fault_contract(rows.lazy()).collect()
        every = window.retained.tally.plus(faults)
        causes = every.causes()
        programs, arenas = (window.tables[name].lazy() for name in ("programs", "arenas"))
        self._change(
            faults=faults,
            unlisted=window.retained.evicted_faults,
            signatures=tuple(every.signatures()),
            programs=tuple(program_rows(programs, every.counts("prog_index"), causes)),
            arenas=tuple(arena_rows(arenas, every.counts("arena"), operations.lazy())),
            causes=cause_counts(causes),
        )
        if due:
            compacted = window.compacted(rows)
            with self._lock:
                live.adopt(window, compacted)

    def _window(self) -> LiveWindow:
        if self._live is None:
            # a view may query between creation and start
            raise ArenatraceError(f"{self._path}: nothing has been read yet", "ask again")
        return self._live

    def _read_meta(self) -> bool:
        """Apply the present meta.json; return whether the recording has ended."""
        try:
            meta = read_meta(self._path)
        except TraceError as error:
            self._error = error.message
            return False
        self._window().meta = meta
        if meta.sealed:
            self._ended()
            return True
        return False

    def _warnings(self) -> tuple[str, ...]:
        """Return the recorder's notices, and warnings about evicted rows and an incomplete end."""
        live, torn = self._window(), self._inflow.torn()
        warnings = [*live.meta.notices, *evicted_rows(live), *([torn] if torn else [])]
        if self._panics:
            warnings.append(f"polars failed {self._panics} time(s) while diagnosing, tried again")
        return tuple(warnings)

    def _show(self, per_s: float) -> None:
        live = self._window()
        meta = live.meta
        duration = None if live.last_ts_ns is None else live.last_ts_ns - meta.start_ts_ns
        lost = max(live.totals.get("lost", 0), sum(meta.lost.values()))
        self._change(
            meta=meta,
            warnings=self._warnings(),
            events=live.totals.get("events", 0),
            totals={**live.totals, "lost": lost},
            duration_ns=duration,
            since_ns=live.complete_since_ns,
            error=self._error or self._inflow.error,
            recording=Recording(
                self.state(), elapsed_s=self._clock() - self._began, events_per_s=per_s
            ),
        )

    def state(self) -> str:
        """State of the recording in one word."""
        return "catching up" if self._inflow.behind else self._status()

    def _change(self, **changes: Any) -> None:
        with self._publishing:
            if self._latest is None or self._stopped.is_set():
                return
            self._latest = replace(self._latest, **changes)
            self._publish(self._latest)

    # queries

    def explain(self, number: int) -> Mapping[str, Any] | None:
        """Explain one fault from the window; an evicted fault keeps only its diagnosis."""
        window, rows = self._now()
        if rows is None:
            return None
        status = explain_fault(window.trace(), rows, number)
        if status is None or number > window.retained.last_diagnosed:
            return status
        # operations around it may be evicted: show no picture and no history instead of incomplete
        # ones
        return {**status, "space": [], "history": [], "earlier": 0}

    def fault_position(self, number: int) -> Position | None:
        """Return the position just before a fault; None if it was evicted."""
        window, rows = self._now()
        position = None if rows is None else queries.fault_position(rows, number)
        complete_since_ns = window.retained.complete_since_ns or 0
        return position if position is not None and position[0] >= complete_since_ns else None

    def adjacent_position(self, arena: int, at: Position, steps: int) -> Position:
        """Go to the next or previous event, within the complete part of the window."""
        window, _rows = self._now()
        near = position_after if steps > 0 else position_before
        found = near(window.state_trace(), arena, at)
        return max(found, (window.retained.complete_since_ns or 0, 0))

    def picture(self, arena: int, at: Position) -> Picture:
        """Return the pages of an arena at a position within the complete part of the window."""
        window, rows = self._now()
        at = max(at, (window.retained.complete_since_ns or 0, 0))
        return queries.picture(window.state_trace(), rows, arena, at)

    def page_timeline(self, arena: int, page: int) -> list[dict[str, Any]]:
        """Return the part of a page's history that is in the window."""
        window, rows = self._now()
        return [] if rows is None else page_timeline(window.trace(), rows, arena, page, 0)

    def programs(self) -> Sequence[Mapping[str, Any]]:
        """Return every program."""
        return queries.programs(self._now()[0].trace())

    def _now(self) -> tuple[WindowSnapshot, pl.DataFrame | None]:
        with self._lock:
            return self._window().snapshot(), self._rows
