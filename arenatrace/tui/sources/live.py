"""Source for a trace that may still grow: followed while it does, analysed when it does not."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from arenatrace.analysis.pages.positions import Position
from arenatrace.errors import ArenatraceError, TraceError
from arenatrace.trace.meta import META_NAME, Meta, read_meta
from arenatrace.trace.reader import open_trace
from arenatrace.tui.page_glyphs import Picture
from arenatrace.tui.snapshot import Recording, Snapshot
from arenatrace.tui.sources.following import FollowSource
from arenatrace.tui.sources.record_process import Recorder
from arenatrace.tui.sources.recorded import Replay, TraceSource
from arenatrace.tui.sources.source import Publish, Source

#: A recorder flushes every second. A trace unchanged for this long, s, has an idle one or none.
_QUIET_S = 5.0
_POLL_S = 0.25


class LiveSource:
    """The trace at ``path``, recorded by ``recorder``, by another process, or no longer.

    A trace without a writer is opened completely. If it grows, it is followed from its start. It is
    opened completely again when it is sealed or has not grown for long. ``replay`` makes a
    replay each time it is opened.
    """

    def __init__(
        self,
        path: Path,
        *,
        recorder: Recorder | None = None,
        replay: Callable[[], Replay] | None = None,
    ) -> None:
        self._path = path
        self._recorder = recorder
        self._replay = replay
        self._stopped = threading.Event()
        self._publish: Publish = lambda _snapshot: None
        self._inner: Source | None = None
        self._sealed = threading.Event()

    def start(self, publish: Publish) -> None:
        """Start the recorder if there is one, and start watching the trace."""
        self._publish = publish
        if self._recorder is not None:
            publish(self._waiting("starting the recorder"))
            self._recorder.start()
        threading.Thread(target=self._watch, name="watch", daemon=True).start()

    def stop(self) -> None:
        """Stop watching; the owner of the recorder ends it."""
        self._stopped.set()
        if self._inner is not None:
            self._inner.stop()

    def _waiting(self, state: str, *, over: bool = False) -> Snapshot:
        return Snapshot(
            path=self._path,
            meta=Meta(kernel=os.uname().release),
            recording=Recording(state),
            explained=True,
            over=over,
        )

    def _watch(self) -> None:
        if not self._await_trace():
            return
        while not self._stopped.is_set():
            if self._followed():
                self._follow()
            else:
                self._open()

    def _await_trace(self) -> bool:
        """Wait until the recorder has created the trace; return False if it never will."""
        while not (self._path / META_NAME).exists():
            if self._recorder is None or self._stopped.wait(_POLL_S):
                return self._recorder is None
            self._publish(self._waiting(self._recorder.status))
            if not self._recorder.running:
                self._publish(self._waiting(self._recorder.status, over=True))
                return False
        return True

    def _followed(self) -> bool:
        if self._recorder is not None and self._recorder.running:
            return True
        return self._quiet_s() < _QUIET_S and not self._is_sealed()

    def _is_sealed(self) -> bool:
        try:
            return read_meta(self._path).sealed
        except TraceError:
            return False

    def _quiet_s(self) -> float:
        """Return the time since the last write to the trace, s."""
        newest = 0.0
        for path in self._path.glob("*.arrows"):
            try:
                newest = max(newest, path.stat().st_mtime)
            except OSError:  # sealed meanwhile
                continue
        return time.time() - newest

    def _follow(self) -> None:
        self._sealed.clear()
        source = FollowSource(self._path, ended=self._sealed.set, status=self._recorder_messages)
        self._begin(source)
        while not self._stopped.is_set() and not self._sealed.wait(_POLL_S):
            recording = self._recorder is not None and self._recorder.running
            if not recording and self._quiet_s() > 2 * _QUIET_S:
                break
        source.stop()

    def _open(self) -> None:
        """Show the complete trace until it grows."""
        try:
            trace = open_trace(self._path)
            source = TraceSource(trace, self._replay and self._replay())
        except ArenatraceError as error:
            self._publish(replace(self._waiting("cannot be read"), error=error.message))
            self._stopped.wait()
            return
        self._begin(source)
        size = self._size()
        while not self._stopped.wait(_POLL_S):
            if trace.meta.sealed:
                continue  # no process writes to it any more
            if self._size() > size or self._is_sealed():
                break
        source.stop()

    def _size(self) -> int:
        total = 0
        for path in self._path.glob("*.arrows"):
            try:
                total += path.stat().st_size
            except OSError:
                continue
        return total

    def _begin(self, source: Source) -> None:
        before, self._inner = self._inner, source
        if before is not None:
            before.stop()
        source.start(self._relay)

    def _recorder_messages(self) -> str:
        """Return the recorder's own messages, if it is our child."""
        return "following" if self._recorder is None else self._recorder.status

    def _relay(self, snapshot: Snapshot) -> None:
        recorder = self._recorder
        if recorder is not None:
            recorder.faulted = recorder.faulted or snapshot.fault_count > 0
            if snapshot.recording is None:
                over = Recording("recorded", running=False, is_kept=recorder.is_kept)
                snapshot = replace(snapshot, recording=over)
            else:
                snapshot = replace(
                    snapshot, recording=replace(snapshot.recording, is_kept=recorder.is_kept)
                )
        self._publish(snapshot)

    # queries

    def _open_source(self) -> Source:
        if self._inner is None:
            raise ArenatraceError("nothing has been recorded yet")
        return self._inner

    def explain(self, number: int) -> Mapping[str, Any] | None:
        """Explain one fault."""
        return self._open_source().explain(number)

    def fault_position(self, number: int) -> Position | None:
        """Return the position just before a fault."""
        return self._open_source().fault_position(number)

    def adjacent_position(self, arena: int, at: Position, steps: int) -> Position:
        """Return the position one event later or earlier."""
        return self._open_source().adjacent_position(arena, at, steps)

    def picture(self, arena: int, at: Position) -> Picture:
        """Return the pages of an arena at a position."""
        return self._open_source().picture(arena, at)

    def programs(self) -> Sequence[Mapping[str, Any]]:
        """Return every program."""
        return self._open_source().programs()

    def page_timeline(self, arena: int, page: int) -> list[dict[str, Any]]:
        """Return the history of a page."""
        return self._open_source().page_timeline(arena, page)
