"""``arenatrace import``: trace, output and exit codes."""

from __future__ import annotations

import gzip
import io
import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from arenatrace.cli.app import run
from arenatrace.errors import ExitCode
from arenatrace.trace.reader import open_trace
from tests.paths import ROOT
from tests.unit.importers.collect import CAPTURES, STREAMS, capture

_GOLDEN = ROOT / "tests" / "golden"
_STREAM = "stream-7.2.13-with-tracing.txt"
_PAGE0 = {
    "stream-7.2.13-with-tracing.txt": "0x7f8d2a696000",
    "stream-7.3-rc7-with-tracing.txt": "0x7fc617d05000",
    "stream-7.3-rc7.txt": "0x7facf65a2000",
}

Capsys = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _faults(trace: str, capsys: Capsys) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert run(["faults", "--json", trace]) == ExitCode.FINDINGS
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def _names() -> list[str]:
    return [path.name for path in Path().iterdir()]


def _feed(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


@pytest.mark.parametrize("name", STREAMS)
def test_import_writes_all_values_of_a_stream(name: str, capsys: Capsys) -> None:
    assert run(["import", str(CAPTURES / name), "--user-vm-start", _PAGE0[name]]) == ExitCode.OK
    found = _faults(name.replace(".txt", ".atrace"), capsys)
    assert [(f["side"], f["access"], f["page"], f["outcome"]) for f in found] == [
        ("kernel", "read", 0, None),
        ("kernel", "write", 1, None),
        ("kernel", "read", 50, None),
        ("prog", "write", 2, "ignored"),
    ]
    assert [f["source"]["line"] for f in found] == [23, 24, 25, 28]
    assert [f["callee"] and f["callee"]["symbol"] for f in found] == [
        "arenapoke_read",
        "arenapoke_write",
        "arenapoke_read",
        None,
    ]
    for fault in found:
        assert fault["task"]["pid"] is None
        assert fault["task"]["comm"] == "wl"
        assert fault["prog"]["name"] == fault["function"] == "touch"
        assert fault["prog"]["id"] is None
        assert fault["attribution"] == "stack-only"
        assert (fault["ts_ns"], fault["kaddr"], fault["ip"]) == (None, None, None)
        assert fault["offset"] == (None if fault["side"] == "kernel" else 0)


@pytest.mark.parametrize(("form", "option"), [("txt", ()), ("json", ("--json",))])
def test_faults_of_a_capture_match_golden(
    form: str, option: tuple[str, ...], capsys: Capsys
) -> None:
    run(["import", str(CAPTURES / _STREAM), "-o", "t.atrace"])
    capsys.readouterr()
    run(["faults", *option, "t.atrace"])
    found = capsys.readouterr().out
    golden = _GOLDEN / f"imported-faults.{form}"
    if os.environ.get("ARENATRACE_GOLDEN") == "write":
        golden.write_text(found, encoding="utf-8")
    assert found == golden.read_text(encoding="utf-8")


def test_oops_becomes_a_fault_with_program_callee_and_address(capsys: Capsys) -> None:
    run(["import", str(CAPTURES / "dmesg-6.12.107-oops.txt"), "-o", "oops.atrace"])
    (fault,) = _faults("oops.atrace", capsys)
    assert fault["outcome"] == "oops"
    assert fault["kaddr"] == "0xff56772e290e8008"
    assert fault["uaddr"] == "0x7fde68001008"
    assert fault["offset"] == 8
    assert fault["callee"] == {"symbol": "arenapoke_read", "module": "arenapoke"}
    assert fault["prog"]["name"] == "touch"
    assert fault["ts_ns"] == 59_169_703_000
    assert open_trace("oops.atrace").meta.kernel == "6.12.107+deb13-cloud-amd64"


def test_attribution_is_agreed_when_watcher_and_stack_match(capsys: Capsys) -> None:
    lines = [f"BPF stderr of prog touch: {line}\n" for line in capture(_STREAM).splitlines()]
    Path("scx.log").write_text("".join(lines))
    run(["import", "scx.log"])
    assert {fault["attribution"] for fault in _faults("scx.atrace", capsys)} == {"agreed"}


def test_subprogram_frame_belongs_to_its_main_program(capsys: Capsys) -> None:
    truth = json.loads(capture("truth-7.2.13.json"))["beta"]
    run(
        [
            "import",
            str(CAPTURES / "beta-7.2.13.txt"),
            *("--user-vm-start", truth["user_vm_start"], "-o", "beta.atrace"),
        ]
    )
    found = _faults("beta.atrace", capsys)
    assert len({fault["function"] for fault in found}) > 1
    for fault, known in zip(found, truth["faults"], strict=True):
        assert fault["prog"]["name"] == known["program"]
        assert fault["prog"]["tag"] == known["tag"]
        assert fault["function"] == known["function"]
        assert (fault["source"]["file"], fault["source"]["line"]) == (
            known["file"],
            known["stream_line"],
        )
        assert fault["page"] == known["page"]


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_import_reads_compressed_files_and_stdin(
    compression: str, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = capture(_STREAM).encode()
    packed = gzip.compress(raw) if compression == "gzip" else pa.compress(raw, "zstd", asbytes=True)
    suffix = {"gzip": "gz", "zstd": "zst"}[compression]
    Path(f"a.txt.{suffix}").write_bytes(packed)
    assert run(["import", f"a.txt.{suffix}"]) == ExitCode.OK
    _feed(monkeypatch, packed)
    assert run(["import", "-"]) == ExitCode.OK
    for trace in ("a.atrace", "stdin.atrace"):
        assert len(_faults(trace, capsys)) == 4
        assert open_trace(trace).meta.imported[0].compression == compression


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_import_reads_truncated_compressed_text_up_to_the_damage(
    compression: str, capsys: Capsys
) -> None:
    raw = b"".join(
        capture(_STREAM).replace("PID: 300", f"PID: {tid}").encode() for tid in range(1000)
    )
    packed = gzip.compress(raw) if compression == "gzip" else pa.compress(raw, "zstd", asbytes=True)
    Path("cut").write_bytes(packed[: len(packed) // 2])
    assert run(["import", "cut"]) == ExitCode.OK
    assert "damaged or truncated; read up to that point" in capsys.readouterr().err
    Path("stub").write_bytes(packed[:12])
    assert run(["import", "stub"]) == ExitCode.INPUT
    assert not Path("stub.atrace").exists()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (bytes(range(256)) * 40, "not text"),
        (b"\x7fELF" + bytes(4000), "not text"),
        (b"\x1f\x8b\x08\x00garbage", "damaged or truncated"),
        (b"\x28\xb5\x2f\xfdgarbage garbage", "damaged or truncated"),
        (b"\xfd7zXZ\x00rest", "compressed by xz"),
        (b"BZh91AY", "compressed by bzip2"),
    ],
)
def test_import_refuses_binary_input_with_a_hint(data: bytes, says: str, capsys: Capsys) -> None:
    Path("bad").write_bytes(data)
    assert run(["import", "bad"]) == ExitCode.INPUT
    out, err = capsys.readouterr()
    first, hint = err.splitlines()
    assert first.startswith("arenatrace: error: bad: ")
    assert says in first
    assert hint.startswith("hint: ")
    assert not out
    assert _names() == ["bad"]


def test_import_leaves_no_trace_when_one_input_is_bad(capsys: Capsys) -> None:
    Path("bad").write_bytes(bytes(range(256)) * 40)
    assert run(["import", str(CAPTURES / _STREAM), "bad", "-o", "t.atrace"]) == ExitCode.INPUT
    assert _names() == ["bad"]


@pytest.mark.parametrize("name", ["absent", "."])
def test_import_names_a_file_that_cannot_be_opened(name: str, capsys: Capsys) -> None:
    assert run(["import", name]) == ExitCode.INPUT
    assert capsys.readouterr().err.startswith("arenatrace: error: ")
    assert not _names()


def test_import_writes_no_trace_when_the_text_has_no_report(capsys: Capsys) -> None:
    Path("log").write_text("all is well\n" * 1000)
    assert run(["import", "log"]) == ExitCode.OK
    assert "no reports found; no trace written" in capsys.readouterr().err
    assert _names() == ["log"]


def test_import_refuses_an_existing_output(capsys: Capsys) -> None:
    Path("t.atrace").mkdir()
    assert run(["import", str(CAPTURES / _STREAM), "-o", "t.atrace"]) == ExitCode.USAGE
    assert not list(Path("t.atrace").iterdir())


def test_imported_trace_is_readable_by_its_owner_only() -> None:
    run(["import", str(CAPTURES / _STREAM), "-o", "t.atrace"])
    assert stat.S_IMODE(Path("t.atrace").stat().st_mode) == 0o700


def test_show_unparsed_prints_and_counts_lines_outside_reports(capsys: Capsys) -> None:
    Path("log").write_text(f"before \x1b[2J\n{capture(_STREAM)}\nafter\n")
    run(["import", "log", "--show-unparsed"])
    out, err = capsys.readouterr()
    assert out == "log:1: before \\x1b[2J\nlog:78: after\n"
    assert "log: stream: 4 faults in 78 lines, 2 outside reports" in err
    imported = open_trace("log.atrace").meta.imported[0]
    assert (imported.name, imported.format, imported.faults) == ("log", "stream", 4)
    assert (imported.lines, imported.unparsed) == (78, 2)


def test_summary_warns_about_other_reports_of_an_import(capsys: Capsys) -> None:
    Path("log").write_text("ERROR: Timeout detected for may_goto instruction\n" * 3)
    assert run(["import", "log"]) == ExitCode.OK
    capsys.readouterr()
    assert run(["summary", "log.atrace"]) == ExitCode.OK
    assert "3 x may_goto timeout" in capsys.readouterr().err


def test_incomplete_report_makes_the_trace_inconclusive(capsys: Capsys) -> None:
    Path("log").write_text("ERROR: Arena READ access at unmapped address 0x7f0000000000\n")
    assert run(["import", "log"]) == ExitCode.OK
    assert run(["summary", "log.atrace"]) == ExitCode.INCONCLUSIVE


def test_several_texts_become_one_trace_in_order(capsys: Capsys) -> None:
    names = [str(CAPTURES / name) for name in STREAMS]
    run(["import", *names, "-o", "all.atrace"])
    found = _faults("all.atrace", capsys)
    assert [fault["task"]["tid"] for fault in found] == [300] * 4 + [301] * 4 + [302] * 4
    assert len(open_trace("all.atrace").meta.imported) == 3


def test_repeated_oops_counts_once(capsys: Capsys) -> None:
    Path("log").write_text(capture("dmesg-6.12.107-oops.txt") * 2)
    run(["import", "log"])
    assert len(_faults("log.atrace", capsys)) == 1


@pytest.mark.parametrize("comm", ["\x1b[2Jevil", "a Comm: b", "\x9b\u202eab", "ERROR: Arena", ""])
def test_hostile_task_names_are_stored_raw_and_printed_escaped(comm: str, capsys: Capsys) -> None:
    text = capture(_STREAM).replace("Comm: wl", f"Comm: {comm}")
    Path("log").write_text(text, encoding="utf-8")
    run(["import", "log"])
    assert {fault["task"]["comm"] for fault in _faults("log.atrace", capsys)} == {comm}
    run(["faults", "log.atrace"])
    assert all(c.isprintable() or c == "\n" for c in capsys.readouterr().out)


@pytest.mark.parametrize("value", ["zero", "0x7f0000000001", "-0x1000", "0x10000000000000000"])
def test_invalid_user_vm_start_is_a_usage_error(value: str, capsys: Capsys) -> None:
    arguments = ["import", str(CAPTURES / _STREAM), f"--user-vm-start={value}"]
    assert run(arguments) == ExitCode.USAGE
