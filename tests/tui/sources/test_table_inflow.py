"""Read-ahead is bounded; events never arrive before the rows that they refer to."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from arenatrace.schema import TABLES
from arenatrace.tui.sources import read_ahead, table_inflow
from arenatrace.tui.sources.read_ahead import ReadAhead
from arenatrace.tui.sources.table_inflow import Inflow
from tests.data.trace_builder import record_batch
from tests.tui.growing import Growing

_TIMEOUT_S = 30.0


def _frame(rows: int) -> pl.DataFrame:
    return pl.DataFrame({"a": range(rows)})


class _CountingEvent(threading.Event):
    """Counts the calls of ``is_set`` by thread, so that a test sees a waiting thread."""

    def __init__(self) -> None:
        super().__init__()
        self._checks: Counter[str] = Counter()
        self._changed = threading.Condition()

    def is_set(self) -> bool:
        with self._changed:
            self._checks[threading.current_thread().name] += 1
            self._changed.notify_all()
        return super().is_set()

    def await_checks(self, thread: str, more: int) -> bool:
        """Wait until ``thread`` checks ``more`` more times; return False after the timeout."""
        with self._changed:
            goal = self._checks[thread] + more
            return self._changed.wait_for(lambda: self._checks[thread] >= goal, _TIMEOUT_S)


def test_reader_waits_when_the_row_limit_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_ahead, "ROWS", 100)
    ahead, stopped = ReadAhead(), _CountingEvent()
    put: list[int] = []

    def read() -> None:
        for number in range(20):
            ahead.put(_frame(30), stopped)
            put.append(number)

    reader = threading.Thread(target=read, name="reader", daemon=True)
    reader.start()
    # put() checks the event only while it has no room
    assert stopped.await_checks("reader", 2)
    assert len(put) == 4
    rows = 0
    end = time.monotonic() + _TIMEOUT_S
    while rows < 600 and time.monotonic() < end:
        taken = ahead.take(60, 1.0)
        assert sum(map(len, taken)) <= 60
        rows += sum(map(len, taken))
    reader.join(_TIMEOUT_S)
    assert rows == 600
    assert ahead.empty
    assert ahead.take(1, 0.01) == []


def test_blocked_reader_ends_when_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_ahead, "ROWS", 10)
    ahead, stopped = ReadAhead(), _CountingEvent()
    ahead.put(_frame(10), stopped)
    reader = threading.Thread(
        target=ahead.put, args=(_frame(10), stopped), name="reader", daemon=True
    )
    reader.start()
    assert stopped.await_checks("reader", 1)
    stopped.set()
    reader.join(_TIMEOUT_S)
    assert not reader.is_alive()
    assert len(ahead.take(1000)) == 1


class _Reader:
    """Replacement for ``follow`` of one table; the test controls each poll."""

    def __init__(self, stopped: threading.Event) -> None:
        self.stopped = stopped
        self.looked, self.go_on, self.ended, self.again = (threading.Event() for _ in range(4))
        self.batch: pa.RecordBatch | None = None

    def __call__(
        self, on_poll: Callable[[], None], on_wait: Callable[[int], None]
    ) -> Iterator[pa.RecordBatch]:
        while not self.stopped.is_set():
            on_poll()
            found, self.batch = self.batch, None
            self.looked.set()
            if found is not None:
                yield found
                continue
            self.go_on.wait(_TIMEOUT_S)
            on_wait(0)
            self.ended.set()
            self.again.wait(_TIMEOUT_S)


def test_events_wait_for_a_poll_that_began_after_they_were_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A poll that began before the events were read may have missed rows they refer to."""
    stopped = _CountingEvent()
    slow = _Reader(stopped)
    events = record_batch("events", [{"ts_ns": 1, "seq": 1, "kind": 1, "stack": 7}])

    def follow(
        _path: Path, table: str, stopped: threading.Event, *, on_poll: Any, on_wait: Any
    ) -> Iterator[pa.RecordBatch]:
        if table == "stacks":
            yield from slow(on_poll, on_wait)
        slow.looked.wait(_TIMEOUT_S)
        if table == "events":
            yield events
        while not stopped.wait(0.01):
            on_poll()
            on_wait(0)

    monkeypatch.setattr(table_inflow, "follow", follow)
    reading = Inflow(tmp_path, stopped)
    reading.start()
    assert slow.looked.wait(_TIMEOUT_S)
    taken: list[tuple[str, int]] = []
    taker = threading.Thread(
        target=lambda: taken.extend((name, len(rows)) for name, rows in reading.take(_TIMEOUT_S)),
        name="taker",
        daemon=True,
    )
    taker.start()
    # take() checks the event only once it has events
    assert stopped.await_checks("taker", 2)
    # now the stack is written, and the poll that began before reports the end of the table
    slow.batch = record_batch("stacks", [{"stack": 7, "frames": [1]}])
    slow.go_on.set()
    assert slow.ended.wait(_TIMEOUT_S)
    # two checks enclose a full round after the poll
    assert stopped.await_checks("taker", 2)
    assert taken == []
    slow.again.set()
    taker.join(_TIMEOUT_S)
    stopped.set()
    assert taken == [("stacks", 1), ("events", 1)]


def test_inflow_is_behind_when_the_end_was_not_reached_for_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_ahead, "ROWS", 5)
    growing = Growing(tmp_path / "run.atrace")
    stopped, now = _CountingEvent(), [100.0]
    reading = Inflow(tmp_path / "run.atrace", stopped, lambda: now[0])
    assert reading.behind
    reading.start()

    def is_behind() -> bool:
        return reading.behind

    def until(*, behind: bool) -> None:
        end = time.monotonic() + _TIMEOUT_S
        while reading.behind is not behind:
            assert time.monotonic() < end
            time.sleep(0.01)

    until(behind=False)
    # the reader has no room for the last batches; put() checks the event only then
    for _ in range(4):
        growing.use_after_free()
        growing.flush()
    assert stopped.await_checks("read events", 1)
    assert not is_behind()
    now[0] += 1.5
    assert is_behind()
    assert stopped.await_checks("read events", 2)
    assert is_behind()
    rows = 0
    while rows < 12:
        rows += sum(len(frame) for name, frame in reading.take(0.1) if name == "events")
    until(behind=False)
    stopped.set()


def test_tables_over_the_row_limit_arrive_in_parts_before_the_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_ahead, "ROWS", 50)
    growing = Growing(tmp_path / "run.atrace")
    for number in range(300):
        growing.writer.append("stacks", record_batch("stacks", [{"stack": number + 10}]))
    growing.use_after_free()
    growing.flush()
    stopped = threading.Event()
    reading = Inflow(tmp_path / "run.atrace", stopped)
    reading.start()
    seen = dict.fromkeys(TABLES, 0)
    end = time.monotonic() + _TIMEOUT_S
    while not seen["events"] and time.monotonic() < end:
        for name, rows in reading.take(0.1):
            assert len(rows) <= 200
            seen[name] += len(rows)
    stopped.set()
    assert seen["stacks"] == 301
    assert seen["events"] == 3
