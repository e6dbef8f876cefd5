"""Fault filters and output formats."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import polars as pl
import pytest

from arenatrace.cli.app import run
from arenatrace.schema import Kind
from tests.data.trace_builder import KERN, USER, TraceBuilder

_PAGE0 = KERN + (USER & 0xFFFF_FFFF)


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a trace with faults 1 to 5 that starts 1 s after boot."""
    builder = TraceBuilder()
    alpha = builder.arena(name="alpha_arena", map_id=7)
    other = builder.arena(name="other_arena", map_id=8)
    one = builder.program("alpha", [("alpha", 1000, 2000)], arena=alpha, id=41)
    two = builder.program("beta", [("beta", 3000, 4000)], arena=other, id=42)
    builder.event(Kind.PAGE_ALLOC, arena=alpha, pgoff=1, pages=1, ret=USER + 4096)
    builder.event(Kind.PAGE_FREE, arena=alpha, pgoff=1, pages=1, addr=USER + 4096)
    seconds = 1_000_000_000
    builder.kernel_fault(prog=one, arena=alpha, ts_ns=2 * seconds, comm="a", pid=1, tid=11)
    builder.prog_fault(prog=one, arena=alpha, ts_ns=3 * seconds, comm="b", pid=2, tid=22)
    builder.prog_fault(
        prog=two, arena=other, ts_ns=4 * seconds, comm="7", pid=3, tid=33, addr=_PAGE0 + (1 << 33)
    )
    builder.prog_fault(
        prog=two, arena=other, ts_ns=5 * seconds, comm="a", addr=_PAGE0 + (1 << 33) + 65536
    )
    builder.prog_fault(prog=None, arena=None, ts_ns=6 * seconds, comm=None, addr=1)
    return str(builder.write(tmp_path_factory.mktemp("filters") / "t.atrace"))


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        ([], [1, 2, 3, 4, 5]),
        (["--program", "alpha"], [1, 2]),
        (["--program", "42"], [3, 4]),
        (["--program", "alpha", "--program", "beta"], [1, 2, 3, 4]),
        (["--arena", "other_arena"], [3, 4]),
        (["--arena", "7"], [1, 2]),
        (["--cause", "use-after-free"], [1, 2]),
        (["--cause", "never-allocated", "--cause", "outside-user-range"], [3, 4]),
        (["--side", "kernel"], [1]),
        (["--task", "a"], [1, 4]),
        (["--task", "33", "--task", "22"], [2, 3]),
        (["--task", "7"], [3]),
        (["--since", "2"], [2, 3, 4, 5]),
        (["--until", "3"], [1, 2, 3]),
        (["--since", "2", "--until", "2"], [2]),
        (["--program", "alpha", "--side", "prog", "--since", "1"], [2]),
    ],
)
def test_filters_select_faults(
    options: list[str], numbers: list[int], trace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["faults", "--json", *options, trace]) == 1
    shown = [json.loads(line)["fault"] for line in capsys.readouterr().out.splitlines()]
    assert shown == numbers


@pytest.mark.parametrize("form", [[], ["--json"]])
@pytest.mark.parametrize("options", [["--program", "nobody"], ["--arena", "9"], ["--since", "9"]])
def test_filter_without_a_match_prints_a_note(
    options: list[str], form: list[str], trace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["faults", *form, *options, trace]) == 0
    seen = capsys.readouterr()
    assert seen.out == ""
    assert seen.err == "arenatrace: note: none of the 5 faults in this trace matches\n"


def test_csv_has_one_row_per_fault(trace: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["faults", "--csv", trace]) == 1
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["fault"] for row in rows] == ["1", "2", "3", "4", "5"]
    first = rows[0]
    assert (first["prog_name"], first["task_comm"], first["cause"]) == (
        "alpha",
        "a",
        "use-after-free",
    )
    assert first["kaddr"] == hex(_PAGE0 + 4096)
    assert "page 1 freed" in first["evidence"]
    assert rows[4]["prog_name"] == ""


def test_parquet_keeps_column_types(
    trace: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "faults.parquet"
    assert run(["faults", "--parquet", str(target), "--program", "beta", trace]) == 1
    assert capsys.readouterr().out == ""
    rows = pl.read_parquet(target)
    assert rows["fault"].to_list() == [3, 4]
    assert rows["kaddr"].dtype == pl.UInt64
    assert rows["prog"].struct.field("name").to_list() == ["beta", "beta"]


def test_unwritable_parquet_file_is_an_error(
    trace: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["faults", "--parquet", str(tmp_path / "no" / "f"), trace]) == 3
    assert capsys.readouterr().err.startswith("arenatrace: error: ")


@pytest.mark.parametrize(
    "options",
    [["--json", "--csv"], ["--since", "nan"], ["--until", "1e300"], ["--cause", "bad luck"]],
)
def test_contradicting_or_invalid_options_are_usage_errors(options: list[str], trace: str) -> None:
    assert run(["faults", *options, trace]) == 2


def test_explaining_a_missing_fault_is_a_usage_error(
    trace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["explain", trace, "6"]) == 2
    assert "no fault 6" in capsys.readouterr().err
    for number in range(1, 6):
        assert run(["explain", trace, str(number)]) == 1
