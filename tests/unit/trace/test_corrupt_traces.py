"""Damaged traces: one error line, a hint and exit code 3."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from arenatrace import schema
from arenatrace.errors import TraceError
from arenatrace.trace.reader import open_trace
from tests.data.trace_builder import KERN, TraceBuilder
from tests.unit.trace.commands import exit_code_and_errors

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("table", list(schema.TABLES))
def test_truncated_parquet_file_is_refused(
    sealed: Path, tmp_path: Path, table: str, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(sealed, tmp_path / "t.atrace")
    file = copy / f"{table}.parquet"
    whole = file.read_bytes()
    for size in [0, 1, 3, 4, 8, *range(9, len(whole), len(whole) // 12), len(whole) - 1]:
        file.write_bytes(whole[:size])
        code, errors = exit_code_and_errors(copy, capsys)
        assert code == 3
        assert f"{table}.parquet" in errors


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("kind", ["sealed", "streams"])
def test_flipped_bytes_are_refused_without_a_traceback(
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
    code, _ = exit_code_and_errors(copy, capsys)
    if kind == "sealed":
        # a changed byte must never show as a fault
        assert code == (3 if changed else 1)
    assert code in (0, 1, 3, 4)


def test_missing_table_of_a_sealed_trace_is_empty_with_a_warning(
    sealed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(sealed, tmp_path / "t.atrace")
    for table in ("arenas", "programs", "stacks", "symbols"):
        (copy / f"{table}.parquet").unlink()
    code, errors = exit_code_and_errors(copy, capsys)
    assert code == 1
    assert errors.count("the file is missing") == 4


def test_table_with_other_columns_is_refused(
    sealed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(sealed, tmp_path / "t.atrace")
    shutil.copy(copy / "stacks.parquet", copy / "events.parquet")
    code, errors = exit_code_and_errors(copy, capsys)
    assert code == 3
    assert "content changed after sealing" in errors


@pytest.mark.parametrize("what", ["nothing", "file", "empty", "loop", "meta-is-dir"])
def test_path_without_a_trace_is_refused(
    tmp_path: Path, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "t"
    if what == "file":
        path.write_text("dmesg")
    elif what == "empty":
        path.mkdir()
    elif what == "loop":
        path.symlink_to(path)
    elif what == "meta-is-dir":
        (path / "meta.json").mkdir(parents=True)
    assert exit_code_and_errors(path, capsys)[0] == 3


def test_path_with_a_nul_byte_is_refused() -> None:
    with pytest.raises(TraceError):
        open_trace("a\0b")


def test_extreme_values_are_summarised(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
    assert exit_code_and_errors(builder.write(tmp_path / "t"), capsys)[0] == 1
