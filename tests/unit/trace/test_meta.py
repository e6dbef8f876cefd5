"""meta.json: a wrong, missing or newer member is refused with exit code 3."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from arenatrace import schema
from arenatrace.errors import TraceError
from arenatrace.trace.meta import MAX_META_BYTES, Meta, parse_meta
from tests.data.trace_builder import sample_meta
from tests.unit.trace.commands import exit_code_and_errors


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("format_version", None),
        ("format_version", "1"),
        ("format_version", True),
        ("format_version", 0),
        ("format_version", 2),
        ("format_version", 10**300),
        ("kernel", 7),
        ("kernel", None),
        ("arch", []),
        ("page_size", 16384),
        ("page_size", "4096"),
        ("clock", "CLOCK_REALTIME"),
        ("wall_offset_ns", 1.5),
        ("start_ts_ns", "now"),
        ("start_ts_ns", 1 << 64),
        ("start_ts_ns", None),
        ("end_ts_ns", {}),
        ("probes", []),
        ("probes", {"attached": "all"}),
        ("probes", {"missing": ["x"]}),
        ("probes", {"missing": [{"point": 1, "lost": ""}]}),
        ("lost", {"ring": -1}),
        ("lost", {"ring": "many"}),
        ("lost", [1]),
        ("notices", "text"),
        ("notices", [1]),
        ("command", "ls"),
        ("command", [None]),
        ("command_status", "0"),
        ("sealed", 1),
        ("sealed", "yes"),
        ("hostname", 4),
        ("tool_version", None),
        ("features", {"a": 1}),
        ("profile", 1),
    ],
)
def test_meta_with_a_wrong_member_is_refused(
    sealed: Path, tmp_path: Path, name: str, value: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(sealed, tmp_path / "t.atrace")
    file = copy / "meta.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), name: value}))
    code, errors = exit_code_and_errors(copy, capsys)
    assert code == 3
    assert "meta.json" in errors
    if name != "format_version":
        assert name in errors


@pytest.mark.parametrize("name", ["format_version", "kernel", "start_ts_ns", "sealed"])
def test_meta_without_a_required_member_is_refused(name: str) -> None:
    members = json.loads(sample_meta().to_json())
    del members[name]
    with pytest.raises(TraceError, match=name) as caught:
        parse_meta(json.dumps(members))
    assert caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'{"format_version": ' + b"9" * 10_000 + b"}",
        b'{"format_version": NaN}',
        b" " * (MAX_META_BYTES + 10),
    ],
)
def test_meta_that_is_not_a_json_object_is_refused(
    sealed: Path, tmp_path: Path, text: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(sealed, tmp_path / "t.atrace")
    (copy / "meta.json").write_bytes(text)
    assert exit_code_and_errors(copy, capsys)[0] == 3


def test_meta_of_a_newer_format_is_refused_with_a_hint() -> None:
    members = {**json.loads(sample_meta().to_json()), "format_version": 7}
    with pytest.raises(TraceError, match="format version 7, this arenatrace reads 1") as caught:
        parse_meta(json.dumps(members))
    assert "upgrade arenatrace" in caught.value.hint


def test_meta_survives_a_round_trip_through_json() -> None:
    meta = sample_meta(
        command=("a", "b c", "\udcff"),
        lost={"ring": 3},
        notices=("x",),
        features={"f": True},
        hostname="h",
        profile="scratch-replace",
    )
    again: Meta = parse_meta(meta.to_json())
    assert again == meta
    assert json.loads(meta.to_json())["format_version"] == schema.FORMAT_VERSION


def test_meta_ignores_unknown_members() -> None:
    members = {**json.loads(sample_meta().to_json()), "later": {"x": [1]}}
    assert parse_meta(json.dumps(members)) == sample_meta()


def test_meta_that_is_a_fifo_is_refused_without_blocking(
    sealed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(sealed, tmp_path / "t.atrace")
    (copy / "meta.json").unlink()
    os.mkfifo(copy / "meta.json")
    code, errors = exit_code_and_errors(copy, capsys)
    assert code == 3
    assert "not a regular file" in errors
