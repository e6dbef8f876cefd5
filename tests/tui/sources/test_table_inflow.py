"""Reading ahead is bounded, and events never come before what they point at."""

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

_PATIENCE_S = 30.0


def _frame(rows: int) -> pl.DataFrame:
    return pl.DataFrame({"a": range(rows)})


def test_reading_waits_while_so_many_rows_have_not_been_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(read_ahead, "ROWS", 100)
    ahead, stopped = ReadAhead(), threading.Event()
    put: list[int] = []

    def read() -> None:
        for number in range(20):
            ahead.put(_frame(30), stopped)
            put.append(number)

    reader = threading.Thread(target=read)
    reader.start()
    end = time.monotonic() + _PATIENCE_S
    while len(put) < 4 and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(0.3)
    assert len(put) == 4
    rows = 0
    while rows < 600 and time.monotonic() < end:
        taken = ahead.take(60, 1.0)
        assert sum(map(len, taken)) <= 60
        rows += sum(map(len, taken))
    reader.join(_PATIENCE_S)
    assert rows == 600
    assert ahead.empty
    assert ahead.take(1, 0.01) == []


def test_a_reader_without_room_ends_when_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_ahead, "ROWS", 10)
    ahead, stopped = ReadAhead(), threading.Event()
    ahead.put(_frame(10), stopped)
    reader = threading.Thread(target=ahead.put, args=(_frame(10), stopped))
    reader.start()
    stopped.set()
    reader.join(_PATIENCE_S)
    assert not reader.is_alive()
    assert len(ahead.take(1000)) == 1


class _Reader:
    """Stands in for ``follow`` of one table: it looks, finds and waits when the test says so."""

    def __init__(self, stopped: threading.Event) -> None:
        self.stopped = stopped
        self.looked, self.go_on, self.again = (threading.Event() for _ in range(3))
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
            self.go_on.wait(_PATIENCE_S)
            self.ends += 1
            on_wait(0)
            self.again.wait(_PATIENCE_S)


def test_an_end_seen_before_the_events_came_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look that began before the events were read may have missed the rows they point at."""
    stopped = threading.Event()
    slow = _Reader(stopped)
    events = record_batch("events", [{"ts_ns": 1, "seq": 1, "kind": 1, "stack": 7}])

    def follow(
        _path: Path, table: str, stopped: threading.Event, *, on_poll: Any, on_wait: Any
    ) -> Iterator[pa.RecordBatch]:
        if table == "stacks":
            yield from slow(on_poll, on_wait)
        slow.looked.wait(_PATIENCE_S)
        if table == "events":
            yield events
        while not stopped.wait(0.01):
            on_poll()
            on_wait(0)

    monkeypatch.setattr(table_inflow, "follow", follow)
    reading = Inflow(tmp_path, stopped)
    reading.start()
    assert slow.looked.wait(_PATIENCE_S)
    taken: list[tuple[str, int]] = []
    taker = threading.Thread(
        target=lambda: taken.extend((name, len(rows)) for name, rows in reading.take(_PATIENCE_S))
    )
    taker.start()
    time.sleep(0.3)
    # the events are taken by now, their stack is written, and the look from before says: the end
    slow.batch = record_batch("stacks", [{"stack": 7, "frames": [1]}])
    slow.go_on.set()
    time.sleep(0.3)
    assert taken == []
    slow.again.set()
    taker.join(_PATIENCE_S)
    stopped.set()
    assert slow.ends >= 1
    assert taken == [("stacks", 1), ("events", 1)]


def test_it_is_behind_only_when_the_end_has_long_not_been_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_ahead, "ROWS", 5)
    growing = Growing(tmp_path / "run.atrace")
    stopped, now = threading.Event(), [100.0]
    reading = Inflow(tmp_path / "run.atrace", stopped, lambda: now[0])
    assert reading.behind
    reading.start()

    def until(*, behind: bool) -> None:
        end = time.monotonic() + _PATIENCE_S
        while reading.behind is not behind:
            assert time.monotonic() < end
            time.sleep(0.01)

    until(behind=False)
    # so many batches that the reader has no room for the last
    for _ in range(4):
        growing.use_after_free()
        growing.flush()
    time.sleep(0.5)
    until(behind=False)
    now[0] += 1.5
    until(behind=True)
    time.sleep(0.3)
    until(behind=True)
    rows = 0
    while rows < 12:
        rows += sum(len(frame) for name, frame in reading.take(0.1) if name == "events")
    until(behind=False)
    stopped.set()


def test_tables_longer_than_what_is_read_ahead_come_in_parts_and_before_the_events(
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
    end = time.monotonic() + _PATIENCE_S
    while not seen["events"] and time.monotonic() < end:
        for name, rows in reading.take(0.1):
            assert len(rows) <= 200
            seen[name] += len(rows)
    stopped.set()
    assert seen["stacks"] == 301
    assert seen["events"] == 3
