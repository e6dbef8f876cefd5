"""Traces that are written, sealed and read back."""

from __future__ import annotations

import json
import random
import stat
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from arenatrace import schema
from arenatrace.errors import ArenatraceError
from arenatrace.trace import seal as seal_module
from arenatrace.trace.arrow_schema import arrow_schema
from arenatrace.trace.reader import open_trace
from arenatrace.trace.writer import TraceWriter
from tests.data.trace_builder import TraceBuilder, record_batch, sample_meta


def _events(count: int, comm: str = "a", first: int = 0) -> list[dict[str, Any]]:
    return [
        {"ts_ns": i, "seq": i, "kind": 4, "comm": f"{comm}{i % 3}"}
        for i in range(first, first + count)
    ]


@pytest.mark.parametrize("table", list(schema.TABLES))
def test_arrow_field_has_the_meaning_of_its_column(table: str) -> None:
    for field, column in zip(arrow_schema(table), schema.TABLES[table], strict=True):
        assert field.metadata[b"meaning"].decode() == column.meaning
        assert field.nullable == column.nullable


def test_parquet_file_has_the_labels_of_codes(tmp_path: Path) -> None:
    builder = TraceBuilder()
    builder.event(schema.Kind.LOST)
    path = builder.write(tmp_path / "t.atrace")
    field = pq.read_schema(path / "events.parquet").field("kind")
    assert json.loads(field.metadata[b"labels"])["9"] == "kernel_fault"


@pytest.mark.parametrize("sealed", [True, False])
def test_rows_survive_a_round_trip(tmp_path: Path, sealed: bool) -> None:
    builder = TraceBuilder()
    arena = builder.arena()
    funcs = [("main", 2**63 + 1, 2**63 + 9)]
    prog = builder.program("p", funcs, arena=arena, lines=[{"addr": 5, "file": "f", "line": 3}])
    stack = builder.stack(2**64 - 1, 1)
    builder.symbol(7, "kfunc", module="m")
    builder.kernel_fault(prog=prog, stack=stack, ip=2**64 - 1, write=True)
    trace = open_trace(builder.write(tmp_path / "t.atrace", seal=sealed))
    assert trace.meta.sealed is sealed
    assert bool(trace.warnings) is not sealed
    for table, rows in builder.rows.items():
        found = trace.scan(table).collect()
        assert found.columns == [column.name for column in schema.TABLES[table]]
        assert len(found) == len(rows)
    event = trace.scan("events").collect().row(0, named=True)
    assert (event["ip"], event["comm"], event["kind"], event["write"]) == (
        2**64 - 1,
        "tester",
        9,
        True,
    )
    program = trace.scan("programs").collect().row(0, named=True)
    assert program["funcs"][0]["start"] == 2**63 + 1
    assert program["lines"] == [{"addr": 5, "file": "f", "line": 3, "col": None, "text": None}]
    assert trace.scan("stacks").collect().row(0, named=True)["frames"] == [2**64 - 1, 1]


def test_dtypes_are_equal_for_sealed_unsealed_and_missing_tables(tmp_path: Path) -> None:
    builder = TraceBuilder()
    builder.arena()
    builder.program("p", [("main", 1, 2)])
    builder.stack(1)
    builder.symbol(1, "s")
    builder.kernel_fault()
    sealed = open_trace(builder.write(tmp_path / "s"))
    streams = open_trace(builder.write(tmp_path / "u", seal=False))
    empty = open_trace(TraceBuilder().write(tmp_path / "e", seal=False))
    for table in schema.TABLES:
        expected = sealed.scan(table).collect_schema()
        assert streams.scan(table).collect_schema() == expected
        assert empty.scan(table).collect_schema() == expected
        assert sealed.scan(table).collect().schema == expected


@pytest.mark.parametrize("sealed", [True, False])
def test_dictionary_of_task_names_grows_and_is_replaced(tmp_path: Path, sealed: bool) -> None:
    names = ["a", "b", "a", "c", "zz", "b", None, "d"]
    dictionaries = [["a", "b"], ["a", "b"], ["a", "b", "c"], ["zz", "b"], ["d"]]
    wanted: list[list[str | None]] = [["a"], ["b", "a"], ["c"], ["zz", "b"], [None, "d"]]
    with TraceWriter(tmp_path / "t", sample_meta()) as writer:
        seq = 0
        for words, values in zip(dictionaries, wanted, strict=True):
            rows: list[dict[str, Any]] = [
                {"ts_ns": seq + i, "seq": seq + i, "kind": 1} for i in range(len(values))
            ]
            seq += len(values)
            batch = record_batch("events", rows)
            codes = pa.array([None if v is None else words.index(v) for v in values], pa.int32())
            comm = pa.DictionaryArray.from_arrays(codes, pa.array(words))
            index = batch.schema.get_field_index("comm")
            writer.append("events", batch.set_column(index, batch.schema.field(index), comm))
            writer.flush()
        writer.close(seal=sealed)
    found = open_trace(tmp_path / "t").scan("events").collect()
    assert found["comm"].to_list() == names


@pytest.mark.parametrize("sealed", [True, False])
def test_keyed_rows_merge_to_the_last_known_values(tmp_path: Path, sealed: bool) -> None:
    with TraceWriter(tmp_path / "t", sample_meta()) as writer:
        rows: list[dict[str, Any]] = [
            {"arena": 1, "name": "one", "map_id": None},
            {"arena": 0, "name": "zero", "max_entries": 5},
            {"arena": 1, "map_id": 7},
            {"arena": 1, "map_id": 8, "preexisting": False},
        ]
        for row in rows:
            writer.append("arenas", record_batch("arenas", [row]))
        programs: list[dict[str, Any]] = [
            {"prog": 0, "funcs": [{"name": "f", "start": 1, "end": 2}], "load_ts_ns": 1},
            {"prog": 0, "unload_ts_ns": 9},
        ]
        for row in programs:
            writer.append("programs", record_batch("programs", [row]))
        writer.close(seal=sealed)
    trace = open_trace(tmp_path / "t")
    arenas = trace.scan("arenas").select("arena", "name", "map_id", "max_entries").collect()
    assert arenas.rows() == [(0, "zero", None, 5), (1, "one", 8, None)]
    program = trace.scan("programs").collect().row(0, named=True)
    assert (program["load_ts_ns"], program["unload_ts_ns"]) == (1, 9)
    assert program["funcs"] == [{"name": "f", "start": 1, "end": 2}]
    assert program["lines"] is None


@pytest.mark.parametrize("sealed", [True, False])
def test_events_are_read_in_time_order(
    tmp_path: Path, sealed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seal_module, "ROW_GROUP", 16)
    order = random.Random(7)  # noqa: S311
    rows: list[dict[str, Any]] = [
        {"ts_ns": i // 2, "seq": i, "kind": 4, "comm": f"c{i % 5}"} for i in range(300)
    ]
    shuffled = sorted(rows, key=lambda row: row["seq"] + order.randrange(40))
    builder = TraceBuilder()
    builder.rows["events"] = shuffled
    trace = open_trace(builder.write(tmp_path / "t", seal=sealed, batch_rows=11))
    found = trace.scan("events").collect()
    assert found["seq"].to_list() == list(range(300))
    assert found["comm"].to_list() == [f"c{i % 5}" for i in range(300)]


def test_seal_replaces_streams_with_zstd_parquet(tmp_path: Path) -> None:
    builder = TraceBuilder()
    builder.rows["events"] = _events(50)
    path = builder.write(tmp_path / "t", batch_rows=5)
    names = {file.name for file in path.iterdir()}
    assert names == {"meta.json", *(f"{table}.parquet" for table in schema.TABLES)}
    assert pq.ParquetFile(path / "events.parquet").metadata.row_group(0).column(0).compression == (
        "ZSTD"
    )


def test_trace_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "t"
    writer = TraceWriter(path, sample_meta())
    writer.append("events", record_batch("events", _events(1)))
    writer.flush()
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.iterdir()} == {0o600}
    writer.close()
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.iterdir()} == {0o600}


def test_flushed_rows_are_visible_to_a_reader(tmp_path: Path) -> None:
    writer = TraceWriter(tmp_path / "t", sample_meta())
    writer.append("events", record_batch("events", _events(4)))
    writer.flush()
    writer.append("events", record_batch("events", _events(4, first=4)))
    assert len(open_trace(tmp_path / "t").scan("events").collect()) == 4
    writer.flush(durable=True)
    assert len(open_trace(tmp_path / "t").scan("events").collect()) == 8
    writer.close()


def test_referenced_rows_are_written_before_events(tmp_path: Path) -> None:
    """Many events are written without a flush."""
    path = tmp_path / "run.atrace"
    events = [{"ts_ns": number, "seq": number, "kind": 1} for number in range(20_000)]
    with TraceWriter(path, sample_meta()) as writer:
        writer.append("stacks", record_batch("stacks", [{"stack": 7, "frames": [1]}]))
        writer.append("events", record_batch("events", events))
        trace = open_trace(path)
        assert len(trace.scan("events").collect()) == len(events)
        assert trace.scan("stacks").collect()["stack"].to_list() == [7]


def test_meta_is_updated_during_recording(tmp_path: Path) -> None:
    writer = TraceWriter(tmp_path / "t", sample_meta())
    writer.update_meta(lost={"ring": 3}, notices=("lost some",), end_ts_ns=9)
    meta = open_trace(tmp_path / "t").meta
    assert (meta.lost, meta.end_ts_ns, meta.sealed) == ({"ring": 3}, 9, False)
    with pytest.raises(TypeError):
        writer.update_meta(nonsense=1)
    writer.close()
    sealed = open_trace(tmp_path / "t")
    assert sealed.meta.sealed
    assert sealed.warnings == ["lost some"]


def test_folder_opens_its_only_trace_and_names_several(tmp_path: Path) -> None:
    TraceBuilder().write(tmp_path / "one.atrace")
    assert open_trace(tmp_path).path == tmp_path / "one.atrace"
    TraceBuilder().write(tmp_path / "two.atrace")
    with pytest.raises(ArenatraceError, match="contains 2 traces") as caught:
        open_trace(tmp_path)
    assert "one.atrace, two.atrace" in caught.value.hint
