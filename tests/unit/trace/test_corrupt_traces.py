"""A damaged trace is one line, a hint and exit code 3; or it is read as far as it is whole."""

from __future__ import annotations

import contextlib
import random
import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from arenatrace import schema
from arenatrace.errors import TraceError
from arenatrace.schema import Kind
from arenatrace.trace.arrow_schema import arrow_schema
from arenatrace.trace.reader import open_trace
from arenatrace.trace.seal import seal
from arenatrace.trace.writer import TraceWriter
from tests.data.trace_builder import KERN, TraceBuilder, sample_meta
from tests.runs import stride
from tests.unit.trace.corrupting import builder, look


@pytest.fixture(scope="module")
def streams(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("streams") / "t.atrace"
    return builder().write(path, seal=False, batch_rows=3)


@pytest.mark.parametrize("table", list(schema.TABLES))
def test_a_truncated_parquet_file_is_refused(
    sealed: Path, tmp_path: Path, table: str, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(sealed, tmp_path / "t.atrace")
    file = copy / f"{table}.parquet"
    whole = file.read_bytes()
    for size in [0, 1, 3, 4, 8, *range(9, len(whole), len(whole) // 12), len(whole) - 1]:
        file.write_bytes(whole[:size])
        code, errors = look(copy, capsys)
        assert code == 3
        assert f"{table}.parquet" in errors


@pytest.mark.parametrize("table", list(schema.TABLES))
def test_a_stream_cut_at_any_byte_is_read_up_to_its_last_whole_batch(
    streams: Path, tmp_path: Path, table: str
) -> None:
    copy = shutil.copytree(streams, tmp_path / "t.atrace")
    file = copy / f"{table}.arrows"
    whole = file.read_bytes()
    rows = len(open_trace(copy).scan(table).collect())
    seen = []
    for size in range(0, len(whole) + 1, stride(7)):
        file.write_bytes(whole[:size])
        trace = open_trace(copy)
        seen.append(len(trace.scan(table).collect()))
        torn = [notice for notice in trace.notices if notice.startswith(f"{table}: the last")]
        if torn:
            dropped = int(torn[0].split()[3].replace(",", ""))
            assert 0 < dropped <= size
            # What is left when the torn bytes go is a stream without a torn tail.
            file.write_bytes(whole[: size - dropped])
            assert not [n for n in open_trace(copy).notices if n.startswith(table)]
    assert seen == sorted(seen)
    assert seen[0] == 0
    file.write_bytes(whole)
    assert len(open_trace(copy).scan(table).collect()) == rows


@pytest.mark.parametrize("table", list(schema.TABLES))
@pytest.mark.parametrize("zeros", [4, 8, 1312])
def test_zeros_that_a_crash_left_are_no_end_of_a_stream(
    streams: Path, tmp_path: Path, table: str, zeros: int
) -> None:
    """A file may be longer on the disk than what got there of it; seen after a panic."""
    copy = shutil.copytree(streams, tmp_path / "t.atrace")
    file = copy / f"{table}.arrows"
    rows = len(open_trace(copy).scan(table).collect())
    whole = file.read_bytes().removesuffix(b"\xff\xff\xff\xff\0\0\0\0")
    file.write_bytes(whole + bytes(zeros))
    trace = open_trace(copy)
    assert len(trace.scan(table).collect()) == rows
    assert f"{table}: the last {zeros:,} bytes were torn and are dropped" in trace.notices


def test_a_batch_of_which_only_the_head_got_to_the_disk_is_dropped(tmp_path: Path) -> None:
    copy = tmp_path / "t.atrace"
    with TraceWriter(copy, sample_meta()) as writer:
        for first in (0, 500):
            rows = [
                {"ts_ns": seq, "seq": seq, "kind": int(Kind.PAGE_ALLOC)}
                for seq in range(first, first + 500)
            ]
            batch = pa.RecordBatch.from_pylist(rows, schema=arrow_schema("events"))
            writer.append("events", batch)
        writer.flush()
        data = (copy / "events.arrows").read_bytes()
        writer.close(seal=False)
    # the second batch's columns begin somewhere in the last part of the file
    (copy / "events.arrows").write_bytes(data[: -_body(data)] + bytes(_body(data)))
    trace = open_trace(copy)
    assert trace.scan("events").collect()["seq"].to_list() == list(range(500))
    assert any(notice.startswith("events: the last ") for notice in trace.notices)


def _body(stream: bytes) -> int:
    """Bytes of the body of the last message."""
    reader = pa.ipc.MessageReader.open_stream(stream)
    last = 0
    with contextlib.suppress(StopIteration):
        while (message := reader.read_next_message()) is not None:
            last = message.body.size
    return last


def test_a_torn_trace_is_still_summed_up(
    streams: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(streams, tmp_path / "t.atrace")
    file = copy / "events.arrows"
    file.write_bytes(file.read_bytes()[:-100])
    code, errors = look(copy, capsys)
    assert code == 1
    assert "bytes were torn and are dropped" in errors
    assert "not sealed" in errors


def test_no_faults_in_what_is_left_of_a_trace_is_no_all_clear(
    streams: Path, sealed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torn = shutil.copytree(streams, tmp_path / "torn.atrace")
    (torn / "events.arrows").write_bytes((torn / "events.arrows").read_bytes()[:100])
    missing = shutil.copytree(sealed, tmp_path / "missing.atrace")
    (missing / "events.parquet").unlink()
    for path in (torn, missing):
        assert look(path, capsys)[0] == 4
    seal(torn)
    assert open_trace(torn).meta.sealed
    assert look(torn, capsys)[0] == 4


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("kind", ["sealed", "streams"])
def test_flipped_bytes_never_end_in_a_traceback(
    kind: str,
    seed: int,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
) -> None:
    copy = shutil.copytree(request.getfixturevalue(kind), tmp_path / "t.atrace")
    dice = random.Random(seed)  # noqa: S311
    file = dice.choice(sorted(copy.glob("*.parquet")) + sorted(copy.glob("*.arrows")))
    before = file.read_bytes()
    data = bytearray(before)
    for _ in range(dice.choice([1, 8, 64])):
        data[dice.randrange(len(data))] = dice.randrange(256)
    file.write_bytes(data)
    changed = bytes(data) != before
    code, _ = look(copy, capsys)
    if kind == "sealed":
        # a changed byte must never show as somebody's fault
        assert code == (3 if changed else 1)
    assert code in (0, 1, 3, 4)


def test_a_missing_table_of_a_sealed_trace_is_empty_and_said_so(
    sealed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(sealed, tmp_path / "t.atrace")
    for table in ("arenas", "programs", "stacks", "symbols"):
        (copy / f"{table}.parquet").unlink()
    code, errors = look(copy, capsys)
    assert code == 1
    assert errors.count("the file is missing") == 4


def test_a_table_with_other_columns_is_refused(
    sealed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(sealed, tmp_path / "t.atrace")
    shutil.copy(copy / "stacks.parquet", copy / "events.parquet")
    code, errors = look(copy, capsys)
    assert code == 3
    assert "not what was sealed" in errors


@pytest.mark.parametrize("what", ["nothing", "file", "empty", "loop", "meta-is-dir"])
def test_what_is_no_trace(tmp_path: Path, what: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "t"
    if what == "file":
        path.write_text("dmesg")
    elif what == "empty":
        path.mkdir()
    elif what == "loop":
        path.symlink_to(path)
    elif what == "meta-is-dir":
        (path / "meta.json").mkdir(parents=True)
    assert look(path, capsys)[0] == 3


def test_a_path_no_file_can_have_is_refused() -> None:
    with pytest.raises(TraceError):
        open_trace("a\0b")


def test_values_at_the_edges_of_their_types_do_no_harm(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    builder = TraceBuilder()
    top = (1 << 64) - 1
    builder.arena(kern_vm_start=top, user_vm_start=top, max_entries=(1 << 32) - 1)
    builder.arena(kern_vm_start=0, user_vm_start=0, max_entries=0)
    builder.arena(kern_vm_start=None, user_vm_start=None, max_entries=None, name=None)
    builder.program("p", [("f", 0, top), ("g", top, 0)], load_ts_ns=-(1 << 63))
    builder.rows["programs"].append({"prog": builder.program("q", []) + 1})
    for arena in (0, 1, 2, 77, None):
        for prog in (0, 1, 99, None):
            stack = builder.stack(0, top, KERN)
            builder.kernel_fault(
                arena=arena, prog=prog, addr=top, ip=0, stack=stack, comm=None, pid=None, tid=None
            )
            builder.prog_fault(
                arena=arena, prog=prog, addr=0, ip=top, stack=4_000_000_000, write=None
            )
            builder.kernel_fault(arena=arena, prog=prog, addr=None, outcome=250)
    assert look(builder.write(tmp_path / "t"), capsys)[0] == 1


def test_an_unsealed_trace_without_faults_is_no_all_clear(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seal_it, code in ((True, 0), (False, 4)):
        path = TraceBuilder().write(tmp_path / f"{seal_it}.atrace", seal=seal_it)
        assert look(path, capsys)[0] == code
