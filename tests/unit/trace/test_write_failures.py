"""Writers that are refused, interrupted or out of disk space."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from arenatrace.errors import ArenatraceError, UsageError
from arenatrace.trace.reader import open_trace
from arenatrace.trace.seal import seal
from arenatrace.trace.writer import TraceWriter
from tests.data.trace_builder import TraceBuilder, record_batch, sample_meta


def _events(count: int, comm: str = "a", first: int = 0) -> list[dict[str, Any]]:
    return [
        {"ts_ns": i, "seq": i, "kind": 4, "comm": f"{comm}{i % 3}"}
        for i in range(first, first + count)
    ]


def test_writer_refuses_an_existing_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    (tmp_path / "dir").mkdir()
    for name in ("file", "link", "dir"):
        with pytest.raises(UsageError, match="exists already") as caught:
            TraceWriter(tmp_path / name, sample_meta())
        assert caught.value.hint
    assert (tmp_path / "file").read_text() == "precious"
    assert not (tmp_path / "nowhere").exists()


def test_writer_refuses_a_missing_parent_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist") as caught:
        TraceWriter(tmp_path / "no" / "t", sample_meta())
    assert "mkdir -p" in caught.value.hint


def test_writer_refuses_a_parent_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("")
    with pytest.raises(UsageError) as caught:
        TraceWriter(tmp_path / "f" / "t", sample_meta())
    assert caught.value.hint


def test_writer_names_a_column_that_does_not_match(tmp_path: Path) -> None:
    writer = TraceWriter(tmp_path / "t", sample_meta())
    with pytest.raises(ValueError, match=r"events.kind: must not be null"):
        writer.append("events", record_batch("events", [{"ts_ns": 1, "seq": 1}]))
    with pytest.raises(ValueError, match="columns are"):
        writer.append("stacks", record_batch("symbols", []))
    with pytest.raises(ValueError, match="no such table"):
        writer.append("nothing", record_batch("symbols", []))
    writer.close()


def test_writer_leaves_an_unsealed_trace_when_its_block_raises(tmp_path: Path) -> None:
    def _interrupted() -> None:
        with TraceWriter(tmp_path / "t", sample_meta()) as writer:
            writer.append("events", record_batch("events", _events(2)))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _interrupted()
    trace = open_trace(tmp_path / "t")
    assert not trace.meta.sealed
    assert len(trace.scan("events").collect()) == 2


def test_full_disk_stops_the_writer_and_keeps_flushed_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = TraceWriter(tmp_path / "t", sample_meta())
    writer.append("events", record_batch("events", _events(100)))
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
    writer.append("events", record_batch("events", _events(1000)))
    with pytest.raises(ArenatraceError, match="no space left") as caught:
        writer.flush()
    assert caught.value.hint
    with pytest.raises(ArenatraceError, match="no space left"):
        writer.append("events", record_batch("events", _events(1)))
    monkeypatch.undo()
    assert writer.close() == tmp_path / "t"
    trace = open_trace(tmp_path / "t")
    assert len(trace.scan("events").collect()) == 100
    assert not trace.meta.sealed
    assert [n for n in trace.warnings if "torn" in n] == []
    assert [n for n in trace.warnings if "no space left" in n]


def test_full_disk_keeps_complete_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One write is torn in its last batch; the batches before it stay."""
    writer = TraceWriter(tmp_path / "t", sample_meta())
    room = 0

    def _short(descriptor: int, pieces: list[memoryview]) -> int:
        nonlocal room
        data = b"".join(pieces)
        # everything except the end of the last batch
        room = room or len(data) - 100
        if room < 0:
            raise OSError(28, "No space left on device")
        count = os.write(descriptor, data[:room])
        room = -1
        return count

    for first in (0, 100, 200):
        writer.append("events", record_batch("events", _events(100, first=first)))
    monkeypatch.setattr(os, "writev", _short)
    with pytest.raises(ArenatraceError, match="no space left"):
        writer.flush()
    monkeypatch.undo()
    trace = open_trace(writer.close())
    assert len(trace.scan("events").collect()) == 200
    assert [n for n in trace.warnings if "torn" in n] == []


@pytest.mark.parametrize("step", range(12))
def test_interrupted_seal_leaves_a_readable_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    builder = TraceBuilder()
    builder.arena()
    builder.rows["events"] = _events(20)
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
