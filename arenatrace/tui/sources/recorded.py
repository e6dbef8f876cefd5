"""Source for a sealed trace on disk."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from arenatrace.analysis.explanation import explain_fault
from arenatrace.analysis.pages.positions import Position, position_after, position_before
from arenatrace.analysis.pages.timeline import page_timeline
from arenatrace.errors import ArenatraceError
from arenatrace.trace.reader import Trace
from arenatrace.tui.labels import internal_error
from arenatrace.tui.page_glyphs import Picture
from arenatrace.tui.snapshot import Snapshot, Verdict
from arenatrace.tui.sources import queries, stages
from arenatrace.tui.sources.source import Publish


class Replay(Protocol):
    """Replays traces."""

    def __call__(self, trace: Path, /) -> Mapping[str, Any]:
        """Return the object of ``replay --json``. Raises ArenatraceError."""

    def stop(self) -> None:
        """End a running replay, and start no more."""


class TraceSource:
    """Analyses ``trace`` once in a thread, then answers queries about it.

    ``replay`` runs in another thread; it must not hold the interpreter lock for long.
    """

    def __init__(self, trace: Trace, replay: Replay | None = None) -> None:
        self._trace = trace
        self._replay = replay
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._latest = stages.head(trace)
        self._publish: Publish = lambda _snapshot: None
        self._rows: pl.DataFrame | None = None
        self._explained = threading.Event()

    def start(self, publish: Publish) -> None:
        """Publish the head at once and the rest when it is computed."""
        self._publish = publish
        publish(self._latest)
        threading.Thread(target=self._work, name="trace", daemon=True).start()
        if self._replay is not None:
            self._change(verdict=Verdict("running"))
            threading.Thread(
                target=self._run_replay, args=(self._replay,), name="replay", daemon=True
            ).start()

    def stop(self) -> None:
        """Stop publishing; a thread inside a query ends after it."""
        self._stopped.set()
        self._explained.set()
        if self._replay is not None:
            self._replay.stop()

    def explain(self, number: int) -> Mapping[str, Any] | None:
        """Explain one fault; wait until the faults are computed."""
        rows = self._await_faults()
        with self._trace.reading():
            return explain_fault(self._trace, rows, number)

    def fault_position(self, number: int) -> Position | None:
        """Return the position just before a fault."""
        return queries.fault_position(self._await_faults(), number)

    def adjacent_position(self, arena: int, at: Position, steps: int) -> Position:
        """Return the position one event later or earlier."""
        with self._trace.reading():
            near = position_after if steps > 0 else position_before
            return near(self._trace, arena, at)

    def picture(self, arena: int, at: Position) -> Picture:
        """Return the pages of an arena at a position."""
        rows = self._await_faults()
        with self._trace.reading():
            return queries.picture(self._trace, rows, arena, at)

    def programs(self) -> Sequence[Mapping[str, Any]]:
        """Return every program."""
        with self._trace.reading():
            return queries.programs(self._trace)

    def page_timeline(self, arena: int, page: int) -> list[dict[str, Any]]:
        """Return the history of a page."""
        rows = self._await_faults()
        with self._trace.reading():
            return page_timeline(self._trace, rows, arena, page, 0)

    def _await_faults(self) -> pl.DataFrame:
        """Return the faults when they are computed. Raises ArenatraceError if that failed."""
        self._explained.wait()
        if self._rows is None:
            raise ArenatraceError(self._latest.error or "ended before the faults were computed")
        return self._rows

    def _change(self, **changes: Any) -> None:
        with self._lock:
            self._latest = replace(self._latest, **changes)
            if not self._stopped.is_set():
                self._publish(self._latest)

    def _show(self, snapshot: Snapshot) -> None:
        # the verdict comes from another thread
        self._change(**{name: getattr(snapshot, name) for name in _WORKED_OUT})

    def _work(self) -> None:
        try:
            with self._trace.reading():
                self._work_through()
        except ArenatraceError as error:
            self._change(error=error.message, stage="", progress=None)
        except Exception as error:
            self._change(error=internal_error(error), stage="", progress=None)
        finally:
            self._explained.set()

    def _work_through(self) -> None:
        for snapshot in stages.counted(self._trace, self._latest):
            self._show(snapshot)
            if self._stopped.is_set():
                return
        self._show(stages.located(self._trace, self._latest))
        if self._stopped.is_set():
            return
        full, self._rows = stages.explained(self._trace, self._latest)
        self._show(full)

    def _run_replay(self, replay: Replay) -> None:
        try:
            verdict = Verdict("done", replay(self._trace.path))
        except ArenatraceError as error:
            verdict = Verdict("failed", reason=error.message)
        self._change(verdict=verdict)


_WORKED_OUT = (
    *("events", "totals", "duration_ns", "stage", "progress", "faults", "explained"),
    *("signatures", "programs", "arenas", "causes"),
)
