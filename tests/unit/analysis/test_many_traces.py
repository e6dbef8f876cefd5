"""Several traces as one: grouped by host and boot, each fault once, unreadable traces reported."""

from __future__ import annotations

import csv
import io
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from arenatrace.analysis.summary.boot_coverage import Between, boot_time
from arenatrace.cli import app
from arenatrace.errors import ExitCode, TraceError
from arenatrace.schema import Kind
from arenatrace.trace.folder import Boot, Member, collect
from arenatrace.trace.meta import read_meta, write_meta
from tests.data.trace_builder import KERN, TraceBuilder, sample_meta

_S = 1_000_000_000
_BOOTS = ("a0000000-0000-0000-0000-000000000000", "b0000000-0000-0000-0000-000000000000")


def _trace(path: Path, faults: int, start_s: int = 1, seconds: int = 1, **meta: Any) -> Path:
    """Write a trace of one arena with a fault every ms, the first 2 ms after the start."""
    start = start_s * _S
    known = {"hostname": "one", "boot_id": _BOOTS[0], **meta}
    builder = TraceBuilder(
        meta=sample_meta(start_ts_ns=start, end_ts_ns=start + seconds * _S, **known)
    )
    builder.arena(create_ts_ns=start + 1)
    code = 0xFFFF_FFFF_A000_0000
    builder.program("alpha", [("alpha", code, code + 64)], load_ts_ns=start + 1, arena=0)
    alloc = {"arena": 0, "pgoff": 9, "pages": 1, "ret": 1}
    builder.event(Kind.PAGE_ALLOC, ts_ns=start + 1_000_000, **alloc)
    for number in range(faults):
        builder.kernel_fault(ts_ns=start + (number + 2) * 1_000_000, prog=0)
    return builder.write(path)


def _run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = app.run([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_summary_of_two_boots_adds_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Programs of one boot are merged, those of two boots are not."""
    _trace(tmp_path / "a.atrace", 2, start_s=1)
    _trace(tmp_path / "b.atrace", 3, start_s=10)
    _trace(tmp_path / "c.atrace", 5, start_s=1, hostname="two", boot_id=_BOOTS[1], arch="aarch64")
    code, out, err = _run(capsys, "summary", tmp_path, "--json")
    found = json.loads(out)
    assert (code, err) == (ExitCode.FINDINGS, "")
    assert found["schema"] == "arenatrace.summary/1"
    assert found["trace"] is None
    assert found["totals"]["kernel_faults"] == 10
    assert (found["totals"]["programs"], found["totals"]["arenas"]) == (3, 2)
    assert [
        (boot["hostname"], boot["arch"], len(boot["traces"]), boot["totals"]["kernel_faults"])
        for boot in found["boots"]
    ] == [("one", "x86_64", 2, 5), ("two", "aarch64", 1, 5)]
    assert [(row["boot"], row["name"], row["faults"]) for row in found["programs"]] == [
        (0, "alpha", 5),
        (1, "alpha", 5),
    ]
    (signature,) = found["signatures"]
    assert (signature["count"], signature["traces"], signature["boots"]) == (10, 3, 2)
    assert signature["first_trace"] == str(tmp_path / "a.atrace")
    offset = sample_meta().wall_offset_ns
    assert signature["first_wall_ns"] == offset + _S + 2_000_000
    assert signature["last_wall_ns"] == offset + 10 * _S + 4_000_000
    assert found["boots"][0]["gaps"] == [
        {
            "after": str(tmp_path / "a.atrace"),
            "before": str(tmp_path / "b.atrace"),
            "duration_ns": 8 * _S,
        }
    ]
    assert (found["boots"][0]["recorded_ns"], found["boots"][0]["span_ns"]) == (2 * _S, 10 * _S)


def test_text_summary_names_hosts_boots_and_gaps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The text fits 80 columns."""
    _trace(tmp_path / "a.atrace", 2, start_s=1)
    _trace(tmp_path / "b.atrace", 3, start_s=10)
    _trace(tmp_path / "c.atrace", 5, hostname="two", boot_id=None)
    code, out, _ = _run(capsys, "summary", tmp_path)
    assert code == ExitCode.FINDINGS
    words = " ".join(out.split())
    assert "10 arena faults" in words
    assert "one, boot a0000000: Linux 7.2.13-test x86_64, 2 traces" in words
    assert "2.000 s recorded over 10.000 s" in words
    assert "1 gap between traces, 8.000 s not recorded" in words
    assert "two, boot unknown: Linux 7.2.13-test x86_64, 1 trace" in words
    assert "(syscall), on one, boot a0000000" in words
    assert max(map(len, out.splitlines())) <= 80


def test_folder_with_one_trace_gives_the_summary_of_that_trace(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _trace(tmp_path / "a.atrace", 2)
    alone = _run(capsys, "summary", tmp_path / "a.atrace", "--json")
    assert alone == _run(capsys, "summary", tmp_path, "--json")
    assert set(json.loads(alone[1])) & {"boots", "unreadable"} == set()
    rows = _run(capsys, "faults", tmp_path, "--json")[1].splitlines()
    assert "trace" not in json.loads(rows[0])


def test_faults_of_several_traces_name_their_trace(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fault numbers are those of each trace, as ``explain`` takes them."""
    late = _trace(tmp_path / "a.atrace", 2, start_s=10)
    early = _trace(tmp_path / "b.atrace", 3, start_s=1)
    code, out, _ = _run(capsys, "faults", late, early, "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == ExitCode.FINDINGS
    assert [(row["trace"], row["fault"]) for row in rows] == [
        *((str(early), number) for number in (1, 2, 3)),
        *((str(late), number) for number in (1, 2)),
    ]
    assert [row["ts_ns"] for row in rows] == sorted(row["ts_ns"] for row in rows)
    assert _run(capsys, "explain", rows[4]["trace"], rows[4]["fault"])[0] == ExitCode.FINDINGS
    table = list(csv.DictReader(io.StringIO(_run(capsys, "faults", tmp_path, "--csv")[1])))
    assert [row["trace"] for row in table] == [row["trace"] for row in rows]
    code, text, _ = _run(capsys, "faults", tmp_path, "--since", "0.003")
    # long paths are wrapped
    flat = "".join(text.split())
    order = [str(early), "#2+0.003000s", "#3+0.004000s", str(late)]
    assert [flat.index(part) for part in order] == sorted(flat.index(part) for part in order)


def test_limits_and_filters_apply_to_all_traces(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Omitted faults are reported once."""
    _trace(tmp_path / "a.atrace", 2, start_s=1)
    _trace(tmp_path / "b.atrace", 3, start_s=10)
    _, out, err = _run(capsys, "faults", tmp_path, "--json", "--limit", "3")
    assert [json.loads(line)["fault"] for line in out.splitlines()] == [1, 2, 1]
    assert "2 more faults are not shown (--limit)" in err
    code, out, err = _run(capsys, "faults", tmp_path, "--program", "nosuch")
    assert (code, out) == (ExitCode.OK, "")
    assert "none of the 5 faults in these traces matches" in err


@pytest.mark.parametrize("command", ["summary", "faults"])
def test_unreadable_trace_is_reported_and_the_others_are_shown(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        _trace(tmp_path / f"{number}.atrace", number + 1, start_s=1 + 10 * number)
    events = tmp_path / "1.atrace" / "events.parquet"
    events.write_bytes(events.read_bytes()[:-9] + b"#########")
    (tmp_path / "3.atrace").mkdir()
    (tmp_path / "3.atrace" / "meta.json").write_text("{")
    code, out, err = _run(capsys, command, tmp_path, "--json")
    assert code == ExitCode.INPUT
    assert f"left out: {events}: damaged" in err
    assert f"left out: {tmp_path / '3.atrace' / 'meta.json'}: not valid JSON" in err
    if command == "faults":
        assert len(out.splitlines()) == 4
        return
    found = json.loads(out)
    assert found["totals"]["kernel_faults"] == 4
    assert {Path(one["path"]).name for one in found["unreadable"]} == {"1.atrace", "3.atrace"}
    assert found["boots"][0]["gaps"][0]["duration_ns"] == 19 * _S
    assert "2 traces could not be read" in _run(capsys, "summary", tmp_path)[1]


def test_no_readable_trace_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The error and hint are those of the first trace."""
    code, out, err = _run(capsys, "summary", tmp_path / "x", tmp_path / "y")
    assert (code, out) == (ExitCode.INPUT, "")
    assert err.startswith(f"arenatrace: error: {tmp_path / 'x'}: no such trace\nhint: ")
    for name in ("a", "b"):
        (_trace(tmp_path / name, 1) / "events.parquet").write_bytes(b"")
    code, out, err = _run(capsys, "faults", tmp_path)
    assert (code, out) == (ExitCode.INPUT, "")
    assert "error: " in err
    code, _, err = _run(capsys, "summary", tmp_path / "a" / "..", tmp_path / "a" / "stacks.parquet")
    assert code == ExitCode.INPUT


def test_empty_folder_is_an_input_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Alone or next to a readable trace."""
    empty = tmp_path / "empty"
    empty.mkdir()
    assert _run(capsys, "summary", empty)[0] == ExitCode.INPUT
    code, out, err = _run(capsys, "summary", empty, _trace(tmp_path / "a", 1), "--json")
    assert code == ExitCode.INPUT
    assert json.loads(out)["totals"]["kernel_faults"] == 1
    assert f"left out: {empty}: not a trace" in err


def test_same_trace_given_twice_counts_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Given twice, through a link, or as a copy."""
    trace = _trace(tmp_path / "a.atrace", 2)
    shutil.copytree(trace, tmp_path / "copy.atrace")
    (tmp_path / "link.atrace").symlink_to(trace)
    code, out, err = _run(capsys, "summary", tmp_path, trace, f"{trace}/", "--json")
    assert code == ExitCode.FINDINGS
    assert json.loads(out)["totals"]["kernel_faults"] == 2
    assert err.count("given twice, counted once") == 3
    assert f"copy.atrace: a copy of {trace}, counted once" in err


def test_overlapping_windows_count_each_fault_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Windows of a flight recorder can share events."""
    whole = TraceBuilder(meta=sample_meta(start_ts_ns=_S, end_ts_ns=3 * _S))
    whole.arena(create_ts_ns=_S)
    for ms in (1500, 2100, 2200, 2600):
        whole.kernel_fault(ts_ns=ms * 1_000_000)
    for name, first, last in (("a", 1000, 2300), ("b", 2000, 3000)):
        part = TraceBuilder(
            meta=replace(whole.meta, start_ts_ns=first * 1_000_000, end_ts_ns=last * 1_000_000)
        )
        part.rows = {
            **whole.rows,
            "events": [
                row
                for row in whole.rows["events"]
                if first * 1_000_000 <= row["ts_ns"] < last * 1_000_000
            ],
        }
        part.write(tmp_path / name)
    code, out, err = _run(capsys, "summary", tmp_path, "--json")
    found = json.loads(out)
    assert code == ExitCode.FINDINGS
    assert found["totals"]["kernel_faults"] == found["totals"]["events"] == 4
    assert found["signatures"][0]["count"] == 4
    assert found["boots"][0]["overlaps"][0]["duration_ns"] == 300_000_000
    assert found["boots"][0]["recorded_ns"] == 2 * _S
    assert "2 faults are also in an earlier trace; they count once" in err
    rows = _run(capsys, "faults", tmp_path, "--json")[1].splitlines()
    assert [json.loads(row)["ts_ns"] // 1_000_000 for row in rows] == [1500, 2100, 2200, 2600]


def test_wall_clocks_order_boots_but_not_traces_of_a_boot(tmp_path: Path) -> None:
    offset = sample_meta().wall_offset_ns
    _trace(tmp_path / "a", 1, start_s=50, wall_offset_ns=offset)
    _trace(tmp_path / "b", 1, start_s=60, wall_offset_ns=offset - 100 * _S)
    _trace(tmp_path / "c", 1, start_s=1, hostname="two", boot_id=_BOOTS[1])
    found = collect([tmp_path])
    assert [[member.path.name for member in boot.members] for boot in found.boots] == [
        ["c"],
        ["a", "b"],
    ]


def test_traces_of_unknown_boots_are_not_grouped(tmp_path: Path) -> None:
    """Imported text has no boot id."""
    for name in "ab":
        path = _trace(tmp_path / name, 1, start_s=ord(name))
        write_meta(path, replace(read_meta(path), boot_id=None))
    assert len(collect([tmp_path]).boots) == 2


def test_unsealed_trace_without_faults_is_inconclusive(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _trace(tmp_path / "a", 0)
    builder = TraceBuilder(meta=sample_meta(start_ts_ns=9 * _S, end_ts_ns=None, sealed=False))
    builder.arena()
    builder.write(tmp_path / "b", seal=False)
    code, _, err = _run(capsys, "summary", tmp_path)
    assert code == ExitCode.INCONCLUSIVE
    assert f"{tmp_path / 'b'}: not sealed" in err


def test_boot_time_counts_overlaps_once() -> None:
    """A nested trace adds nothing; a trace without an end has no duration."""
    members = tuple(
        Member(Path(name), sample_meta(start_ts_ns=start))
        for name, start in (("a", 10), ("b", 20), ("c", 30), ("d", 100), ("e", 110))
    )
    times = boot_time(Boot(members), [50, 25, 60, None, 120])
    assert (times.span_ns, times.recorded_ns) == (110, 60)
    assert times.overlaps == (
        Between(Path("a"), Path("b"), -30),
        Between(Path("a"), Path("c"), -20),
    )
    assert times.gaps == (
        Between(Path("c"), Path("d"), 40),
        Between(Path("d"), Path("e"), 10),
    )


def test_path_with_a_nul_byte_is_unreadable(tmp_path: Path) -> None:
    trace = _trace(tmp_path / "a", 1)
    assert len(collect([Path("x\0y"), trace]).unreadable) == 1
    with pytest.raises(TraceError):
        collect([Path("x\0y")])


def test_arenas_of_a_boot_are_merged_by_map_id_name_and_address(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An arena without a map id is distinct in each trace."""
    for name, start, kern, map_id in (
        ("a", 1, KERN, 10),
        ("b", 10, KERN, 10),
        ("c", 20, KERN + (1 << 40), 10),
        ("d", 30, KERN, None),
    ):
        meta = sample_meta(start_ts_ns=start * _S, end_ts_ns=(start + 1) * _S)
        builder = TraceBuilder(meta=meta)
        builder.arena(kern_vm_start=kern, map_id=map_id)
        builder.kernel_fault(ts_ns=start * _S + 5, addr=kern + 0x1000_1000)
        builder.write(tmp_path / name)
    found = json.loads(_run(capsys, "summary", tmp_path, "--json")[1])
    assert sorted(row["faults"] for row in found["arenas"]) == [1, 1, 2]
    assert found["totals"]["arenas"] == 3
