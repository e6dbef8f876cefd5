"""Reading ahead is bounded, and events never come before the rows they refer to."""

from __future__ import annotations

import threading
import time
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


class _Condition(threading.Condition):
    """Sets ``waiting`` whenever a thread begins to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        self.waiting.set()
        return super().wait(timeout)


class _Stopped(threading.Event):
    """Counts the waits of the thread called ``taker``, which polls between them."""

    def __init__(self) -> None:
        super().__init__()
        self.polls = threading.Semaphore(0)

    def wait(self, timeout: float | None = None) -> bool:
        if threading.current_thread().name == "taker":
            self.polls.release()
        return super().wait(timeout)


def _frame(rows: int) -> pl.DataFrame:
    return pl.DataFrame({"a": range(rows)})


def test_full_queue_blocks_the_reader_and_loses_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(read_ahead, "ROWS", 100)
    ahead, stopped = ReadAhead(), threading.Event()
    ahead._changed = full = _Condition()
    put: list[int] = []

    def read() -> None:
        for number in range(20):
            ahead.put(_frame(30), stopped)
            put.append(number)

    reader = threading.Thread(target=read)
    reader.start()
    assert full.waiting.wait(_TIMEOUT_S)
    assert len(put) == 4
    end = time.monotonic() + _TIMEOUT_S
    rows = 0
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
    ahead, stopped = ReadAhead(), threading.Event()
    ahead.put(_frame(10), stopped)
    reader = threading.Thread(target=ahead.put, args=(_frame(10), stopped))
    reader.start()
    stopped.set()
    reader.join(_TIMEOUT_S)
    assert not reader.is_alive()
    assert len(ahead.take(1000)) == 1


class _Reader:
    """Stand-in for ``follow`` of one table; the test steps it."""

    def __init__(self, stopped: threading.Event) -> None:
        self.stopped = stopped
        self.looked, self.go_on, self.waited, self.again = (threading.Event() for _ in range(4))
        self.batch: pa.RecordBatch | None = None
        self.ends = 0

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
            self.ends += 1
            on_wait(0)
            self.waited.set()
            self.again.wait(_TIMEOUT_S)


def test_end_of_a_poll_before_the_events_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A poll that began before the events were read may have missed rows they refer to."""
    stopped = _Stopped()
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
    )
    taker.start()
    # the taker has the events and waits for the other tables
    assert stopped.polls.acquire(timeout=_TIMEOUT_S)
    # their stack is written now, and the poll that began before reports the end
    slow.batch = record_batch("stacks", [{"stack": 7, "frames": [1]}])
    slow.go_on.set()
    assert slow.waited.wait(_TIMEOUT_S)
    while stopped.polls.acquire(blocking=False):
        pass
    # one poll may have begun before the report, the second did not
    for _ in range(2):
        assert stopped.polls.acquire(timeout=_TIMEOUT_S)
    assert taken == []
    slow.again.set()
    taker.join(_TIMEOUT_S)
    stopped.set()
    assert slow.ends >= 1
    assert taken == [("stacks", 1), ("events", 1)]


def test_behind_when_the_end_was_not_reached_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_ahead, "ROWS", 5)
    growing = Growing(tmp_path / "run.atrace")
    stopped, now = threading.Event(), [100.0]
    reading = Inflow(tmp_path / "run.atrace", stopped, lambda: now[0])
    reading._queues["events"]._changed = full = _Condition()
    assert reading.behind
    reading.start()

    def until(*, behind: bool) -> None:
        end = time.monotonic() + _TIMEOUT_S
        while reading.behind is not behind:
            assert time.monotonic() < end
            time.sleep(0.01)

    until(behind=False)
    full.waiting.clear()
    # the queue has no room for the last of these batches
    for _ in range(4):
        growing.use_after_free()
        growing.flush()
    assert full.waiting.wait(_TIMEOUT_S)
    until(behind=False)
    now[0] += 1.5
    full.waiting.clear()
    assert full.waiting.wait(_TIMEOUT_S)
    until(behind=True)
    rows = 0
    while rows < 12:
        rows += sum(len(frame) for name, frame in reading.take(0.1) if name == "events")
    until(behind=False)
    stopped.set()


def test_long_tables_come_in_parts_before_the_events(
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
