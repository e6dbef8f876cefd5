"""Full disks and interrupted writes: what was flushed stays readable."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import polars as pl
import pytest

from arenatrace.errors import ArenatraceError
from arenatrace.trace.reader import open_trace
from arenatrace.trace.seal import seal
from arenatrace.trace.writer import TraceWriter
from tests.data.trace_builder import TraceBuilder, record_batch, sample_meta
from tests.unit.trace.events import events


def test_a_block_that_raises_leaves_an_unsealed_trace(tmp_path: Path) -> None:
    def _interrupted() -> None:
        with TraceWriter(tmp_path / "t", sample_meta()) as writer:
            writer.append("events", record_batch("events", events(2)))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _interrupted()
    trace = open_trace(tmp_path / "t")
    assert not trace.meta.sealed
    assert len(trace.scan("events").collect()) == 2


def test_a_full_disk_stops_the_recording_and_keeps_what_was_flushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = TraceWriter(tmp_path / "t", sample_meta())
    writer.append("events", record_batch("events", events(100)))
    writer.flush()
    room = 500

    def _short(descriptor: int, pieces: list[memoryview]) -> int:
        nonlocal room
        if not room:
            raise OSError(28, "No space left on device")
        count = os.write(descriptor, b"".join(pieces)[:room])
        room -= count
        return count

    monkeypatch.setattr(os, "writev", _short)
    writer.append("events", record_batch("events", events(1000)))
    with pytest.raises(ArenatraceError, match="no space left") as caught:
        writer.flush()
    assert caught.value.hint
    with pytest.raises(ArenatraceError, match="no space left"):
        writer.append("events", record_batch("events", events(1)))
    monkeypatch.undo()
    assert writer.close() == tmp_path / "t"
    trace = open_trace(tmp_path / "t")
    assert len(trace.scan("events").collect()) == 100
    assert not trace.meta.sealed
    assert [n for n in trace.notices if "torn" in n] == []
    assert [n for n in trace.notices if "no space left" in n]


def test_a_full_disk_keeps_every_batch_that_still_fitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what goes out in one write, the batches before the one that is torn are whole."""
    writer = TraceWriter(tmp_path / "t", sample_meta())
    room = 0

    def _short(descriptor: int, pieces: list[memoryview]) -> int:
        nonlocal room
        data = b"".join(pieces)
        # all but the last bytes of the last batch
        room = room or len(data) - 100
        if room < 0:
            raise OSError(28, "No space left on device")
        count = os.write(descriptor, data[:room])
        room = -1
        return count

    for first in (0, 100, 200):
        writer.append("events", record_batch("events", events(100, first=first)))
    monkeypatch.setattr(os, "writev", _short)
    with pytest.raises(ArenatraceError, match="no space left"):
        writer.flush()
    monkeypatch.undo()
    trace = open_trace(writer.close())
    assert len(trace.scan("events").collect()) == 200
    assert [n for n in trace.notices if "torn" in n] == []


@pytest.mark.parametrize("step", range(12))
def test_a_seal_cut_short_at_any_step_leaves_a_readable_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    builder = TraceBuilder()
    builder.arena()
    builder.rows["events"] = events(20)
    path = builder.write(tmp_path / "t", seal=False)
    steps = 0

    def _count() -> None:
        nonlocal steps
        steps += 1
        if steps > step:
            raise OSError(5, "Input/output error")

    real_replace, real_unlink = Path.replace, Path.unlink

    def _replace(self: Path, target: Path) -> Path:
        _count()
        return real_replace(self, target)

    def _unlink(self: Path, missing_ok: bool = False) -> None:
        if self.suffix == ".arrows":
            _count()
        real_unlink(self, missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", _replace)
        patch.setattr(Path, "unlink", _unlink)
        with contextlib.suppress(ArenatraceError):
            seal(path)
    for _ in range(2):
        trace = open_trace(path)
        assert trace.scan("events").collect()["seq"].to_list() == list(range(20))
        assert trace.scan("arenas").select(pl.len()).collect().item() == 1
        seal(path)
    assert open_trace(path).meta.sealed
    assert not list(path.glob("*.arrows")) + list(path.glob(".*"))
