"""Command line in a process of its own: exit codes, streams, imported modules."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from arenatrace.cli import app
from arenatrace.errors import ExitCode
from arenatrace.schema import Kind
from tests.data.trace_builder import TraceBuilder, sample_meta
from tests.paths import ROOT

_ROOT = ROOT
_HEAVY = ("polars", "pyarrow", "numpy", "textual", "bcc", "rich")


def _python(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(_ROOT), **options.pop("env", {})}
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
        **options,
    )


def _arenatrace(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return _python("-m", "arenatrace.cli", *arguments, **options)


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> str:
    builder = TraceBuilder()
    arena = builder.arena()
    prog = builder.program("alpha", [("touch", 1000, 2000)], arena=arena)
    for _ in range(3):
        builder.prog_fault(prog=prog, ip=1500)
    return str(builder.write(tmp_path_factory.mktemp("cli") / "t.atrace"))


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> str:
    builder = TraceBuilder()
    builder.event(Kind.PAGE_ALLOC, ret=1)
    return str(builder.write(tmp_path_factory.mktemp("cli") / "quiet.atrace"))


def _loaded(*arguments: str) -> set[str]:
    """Return the heavy modules that a command line has imported at its end."""
    code = (
        "import sys; from arenatrace.cli.app import run; run(sys.argv[2:]);"
        "print(*[m for m in sys.argv[1].split(',') if m in sys.modules], file=sys.stderr)"
    )
    done = _python("-c", code, ",".join(_HEAVY), *arguments)
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["summary", "--help"],
        ["faults", "--help"],
        ["explain", "--help"],
        ["tui", "--help"],
        ["bogus"],
        [],
    ],
)
def test_help_and_usage_errors_import_no_heavy_module(arguments: list[str]) -> None:
    assert _loaded(*arguments) == set()


def test_help_imports_no_subcommand() -> None:
    code = (
        "import sys; from arenatrace.cli.app import run; run(['--help']);"
        "print(*[m for m in sys.modules if m.startswith('arenatrace.')], file=sys.stderr)"
    )
    modules = set(_python("-c", code).stderr.split())
    assert not modules & {
        f"arenatrace.cli.{name}" for name in ("record", "summary", "faults", "explain", "tui")
    }


@pytest.mark.parametrize("command", ["summary", "faults"])
def test_reading_commands_import_neither_tui_nor_capture(command: str, trace: str) -> None:
    # pyarrow takes longer to import than a small sealed trace to read.
    assert not _loaded(command, trace) & {"textual", "bcc", "pyarrow"}
    assert "rich" not in _loaded(command, "--json", trace)


@pytest.mark.parametrize(
    "arguments",
    [["--help"], *([name, "--help"] for name in ("summary", "faults", "explain", "tui"))],
)
def test_help_fits_80_columns_and_ends_with_examples(arguments: list[str]) -> None:
    done = _arenatrace(*arguments, env={"COLUMNS": "200"})
    assert done.returncode == 0
    assert max(map(len, done.stdout.splitlines())) < 80
    assert "Examples:\n" in done.stdout


def test_version() -> None:
    done = _arenatrace("--version")
    assert (done.returncode, done.stdout) == (0, "arenatrace, version 0.1.0\n")


@pytest.mark.parametrize("command", ["summary", "faults"])
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_exit_code_depends_on_faults_and_losses(
    command: str, options: list[str], trace: str, quiet: str, tmp_path: Path
) -> None:
    lossy = TraceBuilder(meta=sample_meta(lost={"ring": 2})).write(tmp_path / "lossy")
    marked = TraceBuilder()
    marked.event(Kind.LOST, pages=5)
    expected = {
        trace: ExitCode.FINDINGS,
        quiet: ExitCode.OK,
        str(lossy): ExitCode.INCONCLUSIVE,
        str(marked.write(tmp_path / "marked")): ExitCode.INCONCLUSIVE,
    }
    for path, code in expected.items():
        assert app.run([command, *options, path]) == code


def test_summary_counts_losses(tmp_path: Path) -> None:
    builder = TraceBuilder(meta=sample_meta(lost={"ring": 2}))
    builder.event(Kind.LOST, pages=5)
    builder.prog_fault()
    path = str(builder.write(tmp_path / "t"))
    totals = json.loads(_arenatrace("summary", "--json", path).stdout)["totals"]
    assert (totals["lost"], totals["events"]) == (5, 1)
    assert "At least 5 events lost" in _arenatrace("summary", path).stdout


def test_stdout_has_only_data(quiet: str, trace: str, tmp_path: Path) -> None:
    done = _arenatrace("faults", "--json", quiet)
    assert (done.stdout, done.stderr) == ("", "")
    done = _arenatrace("faults", quiet)
    assert (done.stdout, done.stderr) == ("", "arenatrace: note: no arena faults in this trace\n")
    open_ended = TraceBuilder(meta=sample_meta(notices=("a\x1bb",))).write(
        tmp_path / "t", seal=False
    )
    done = _arenatrace("summary", "--json", str(open_ended))
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr.startswith("arenatrace: note: a\\x1bb\narenatrace: note: not sealed")
    lines = _arenatrace("faults", "--json", trace).stdout.splitlines()
    assert [json.loads(line)["fault"] for line in lines] == [1, 2, 3]


def test_limit_shortens_the_list_with_a_warning(trace: str) -> None:
    done = _arenatrace("faults", "--json", "--limit", "2", trace)
    assert len(done.stdout.splitlines()) == 2
    assert done.stderr == "arenatrace: note: 1 more faults are not shown (--limit)\n"
    assert done.returncode == ExitCode.FINDINGS


@pytest.mark.parametrize(
    "arguments",
    [
        ["bogus"],
        ["summary"],
        ["faults", "--limit", "0", "x"],
        ["summary", "--nope", "x"],
        ["explain", "a", "1", "b"],
    ],
)
def test_usage_error_is_one_line_and_a_hint(arguments: list[str]) -> None:
    done = _arenatrace(*arguments)
    assert (done.returncode, done.stdout) == (ExitCode.USAGE, "")
    error, hint = done.stderr.splitlines()
    assert error.startswith("arenatrace: error: ")
    assert hint.startswith("hint: arenatrace")


def test_no_arguments_print_the_help() -> None:
    done = _arenatrace()
    assert done.returncode == ExitCode.USAGE
    assert "Usage: arenatrace" in done.stderr


def test_unreadable_trace_is_one_line_and_a_hint(tmp_path: Path) -> None:
    name = os.fsdecode(os.fsencode(tmp_path) + b"/\x1b[2J\xff")
    done = _arenatrace("summary", name)
    assert (done.returncode, done.stdout) == (ExitCode.INPUT, "")
    error, hint = done.stderr.splitlines()
    assert error.endswith("/\\x1b[2J\\udcff: no such trace")
    assert hint.startswith("hint: ")


@pytest.mark.parametrize("command", ["summary", "faults"])
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_closed_pipe_prints_no_error(command: str, options: list[str], trace: str) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "arenatrace.cli", command, *options, trace],
            check=False,
            stdout=write_end,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(_ROOT)},
            timeout=120,
        )
    finally:
        os.close(write_end)
    assert (done.returncode, done.stderr) == (141, b"")


def test_full_disk_under_stdout_is_one_error_line(trace: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "arenatrace.cli", "summary", trace],
            check=False,
            stdout=full,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(_ROOT)},
            timeout=120,
        )
    assert done.returncode == ExitCode.INPUT
    assert done.stderr.decode().splitlines() == [
        "arenatrace: error: output: No space left on device"
    ]


def test_unencodable_characters_are_escaped(tmp_path: Path) -> None:
    builder = TraceBuilder()
    builder.prog_fault(comm="漢字")
    path = str(builder.write(tmp_path / "t"))
    done = _arenatrace("faults", path, env={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert done.returncode == ExitCode.FINDINGS
    assert "\\u6f22\\u5b57" in done.stdout


def test_ctrl_c_exits_with_130(monkeypatch: pytest.MonkeyPatch, trace: str) -> None:
    def _interrupted(path: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("arenatrace.trace.reader.open_trace", _interrupted)
    assert app.run(["summary", trace]) == 130


def test_tui_without_a_terminal_prints_the_summary(trace: str, quiet: str) -> None:
    for path, code in ((trace, ExitCode.FINDINGS), (quiet, ExitCode.OK)):
        done = _arenatrace("tui", path)
        assert (done.returncode, done.stdout) == (code, _arenatrace("summary", path).stdout)
        assert "arenatrace: no terminal: printing the summary\nhint: " in done.stderr
    assert "textual" not in _loaded("tui", trace)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["tui"], "give one trace, or --live"),
        (["tui", "a", "b"], "give one trace, or --live"),
        (["tui", "--level", "faults", "a"], "--level applies to a recording: add --live"),
        (["tui", "--live"], "--live needs a terminal"),
    ],
)
def test_tui_usage_error_names_the_argument(arguments: list[str], error: str) -> None:
    done = _arenatrace(*arguments)
    assert (done.returncode, done.stdout) == (ExitCode.USAGE, "")
    assert f"arenatrace: error: {error}" in done.stderr


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "1s", ""])
def test_duration_that_is_not_a_positive_number_is_refused(text: str, tmp_path: Path) -> None:
    done = _arenatrace("record", "-o", str(tmp_path / "x.atrace"), "--duration", text)
    assert done.returncode == ExitCode.USAGE
    error, hint = done.stderr.splitlines()
    assert "'--duration'" in error
    assert f"{text!r} is not a number of seconds above 0" in error
    assert hint == "hint: arenatrace record --help"
    assert not (tmp_path / "x.atrace").exists()
