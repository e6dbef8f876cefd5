"""Golden outputs: text at 80 columns without color, and JSON.

To rewrite them after an intended change and review the difference:

    ARENATRACE_GOLDEN=write pytest tests/unit/report/test_golden.py && git diff tests/golden
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from arenatrace.cli.app import run
from arenatrace.errors import ExitCode
from arenatrace.schema import Kind, Outcome
from tests.data.trace_builder import KERN, USER, TraceBuilder, sample_meta
from tests.paths import ROOT

_GOLDEN = ROOT / "tests" / "golden"
_KFUNC = 0xFFFF_FFFF_C000_0040
_CODE = 0xFFFF_FFFF_A000_0000
_PAGE0 = KERN + (USER & 0xFFFF_FFFF)


def _lines(start: int, file: str, *lines: tuple[int, int, str]) -> list[dict[str, Any]]:
    return [
        {"addr": start + offset, "file": file, "line": line, "col": 1, "text": text}
        for offset, line, text in lines
    ]


def _busy() -> TraceBuilder:
    """Return a trace with a scheduler, a helper, every kind of fault, and losses."""
    builder = TraceBuilder(meta=sample_meta(lost={"ring": 7}))
    arena = builder.arena(name="alpha_arena", max_entries=1024)
    builder.arena(name="old", preexisting=True, create_ts_ns=None, map_id=None)
    alpha = builder.program(
        "alpha",
        [("alpha", _CODE, _CODE + 0x100), ("touch", _CODE + 0x100, _CODE + 0x200)],
        arena=arena,
        lines=_lines(
            _CODE,
            "/src/progs/alpha.bpf.c",
            (0x00, 10, "int alpha(void *ctx)"),
            (0x100, 20, "static __noinline void touch(struct node __arena *n)"),
            (0x110, 23, "\tarenapoke_read(&n->left,\tsizeof(n->left));"),
        ),
    )
    helper = builder.program("helper", [("helper", _CODE + 0x1000, _CODE + 0x1100)], type="tracing")
    builder.symbol(_KFUNC, "arenapoke_read", module="arenapoke")
    builder.symbol(_KFUNC + 64, "scx_cmask_set")
    builder.event(Kind.PAGE_ALLOC, arena=arena, pages=2, ret=USER, pgoff=0)
    builder.event(Kind.PAGE_ALLOC, arena=arena, pages=2000, ret=0)
    builder.event(Kind.PAGE_FREE, arena=arena, pages=2, addr=USER, pgoff=0)
    in_touch = builder.stack(_KFUNC, _CODE + 0x118, _CODE + 0x48)
    for page in range(3):
        builder.kernel_fault(
            arena=arena, prog=alpha, ip=_KFUNC, stack=in_touch, addr=_PAGE0 + page * 4096 + 8
        )
    builder.prog_fault(
        arena=arena,
        prog=alpha,
        ip=_CODE + 0x112,
        write=True,
        addr=_PAGE0 + 4096,
        outcome=int(Outcome.IGNORED),
    )
    builder.kernel_fault(
        arena=None,
        prog=helper,
        ip=_KFUNC + 64,
        write=True,
        outcome=int(Outcome.OOPS),
        stack=builder.stack(_KFUNC + 64, _CODE + 0x1010, _CODE + 0x118),
        addr=KERN + (1 << 32) + 16,
    )
    builder.kernel_fault(arena=None, prog=None, outcome=int(Outcome.OOPS), addr=0x10, comm=None)
    later = 1_500_000_000
    builder.kernel_fault(
        prog=alpha, ip=_KFUNC, stack=in_touch, outcome=int(Outcome.ALREADY_MAPPED), ts_ns=later
    )
    builder.event(
        Kind.USER_FAULT, arena=arena, addr=USER, outcome=int(Outcome.SIGSEGV), ts_ns=later + 1
    )
    return builder


def _hostile() -> TraceBuilder:
    """Return a trace with terminal escapes in every name."""
    builder = TraceBuilder(meta=sample_meta(kernel="7.2\x1b[0m"))
    arena = builder.arena(name="\x1b]0;owned\x07map")
    prog = builder.program(
        "[bold]\u202egorp",
        [("\nfault\r", _CODE, _CODE + 64)],
        arena=arena,
        type="\x9bsyscall",
        lines=_lines(_CODE, "/src/[red]\x1b[31m.c", (0, 1, "/* \ufffd\x00 */ *p = 1; // [/]")),
    )
    builder.prog_fault(prog=prog, ip=_CODE, comm="\x1b[2Jevil\n", arena=arena)
    return builder


def _stacks() -> TraceBuilder:
    """Return a trace of level ``stacks`` with an allocating and a freeing program."""
    builder = TraceBuilder(meta=sample_meta(level="stacks"))
    arena = builder.arena(name="tree", max_entries=64)
    maker = builder.program(
        "maker",
        [("maker", _CODE, _CODE + 0x100)],
        arena=arena,
        lines=_lines(_CODE, "/src/tree.bpf.c", (0, 31, "n = bpf_arena_alloc_pages(&tree, ...);")),
    )
    reaper = builder.program(
        "reaper",
        [("reaper", _CODE + 0x1000, _CODE + 0x1100), ("cut", _CODE + 0x1100, _CODE + 0x1200)],
        arena=arena,
        lines=_lines(
            _CODE,
            "/src/[red]\x1b[31mreap.bpf.c",
            (0x1000, 50, "cut(n->parent);"),
            (0x1100, 44, "bpf_arena_free_pages(&tree, n, 1);"),
        ),
    )
    builder.symbol(_KFUNC, "arena_free_pages")
    builder.symbol(_KFUNC + 64, "bpf_trampoline_6442\x1b[0m", module=None)
    made = builder.stack(_CODE + 0x18, _KFUNC + 64)
    cut = builder.stack(_KFUNC, _CODE + 0x1108, _CODE + 0x1010, _KFUNC + 64)
    builder.event(
        Kind.PAGE_ALLOC, arena=arena, pages=3, ret=USER, pgoff=0, stack=made, prog=maker, tid=7
    )
    builder.event(
        Kind.PAGE_FREE, arena=arena, pages=1, addr=USER + 4096, pgoff=1, stack=cut, prog=reaper
    )
    builder.prog_fault(
        arena=arena, prog=maker, ip=_CODE + 0x20, addr=_PAGE0 + 4096 + 24, stack=builder.stack()
    )
    return builder


_CASES = {
    "busy": _busy,
    "stacks": _stacks,
    "hostile": _hostile,
    "empty": TraceBuilder,
}


_EXPLAINED = {
    # use after free, guard band through a helper, address in no arena, refault
    "busy": (1, 5, 6, 7),
    "hostile": (1,),
    # allocated by, freed by
    "stacks": (1,),
}


def _check(name: str, found: str, *, text: bool) -> None:
    golden = _GOLDEN / name
    if os.environ.get("ARENATRACE_GOLDEN") == "write":
        golden.write_bytes(found.encode())
    assert found == golden.read_bytes().decode()
    if text:
        assert all(len(line) <= 80 for line in found.splitlines())
        assert all(char.isprintable() or char == "\n" for char in found)


_FORMS = [
    ("summary", "txt"),
    ("summary", "json"),
    ("faults", "txt"),
    ("faults", "json"),
    ("faults", "csv"),
]


@pytest.mark.parametrize(("command", "form"), [*_FORMS, ("arenas", "txt"), ("arenas", "json")])
@pytest.mark.parametrize("case", list(_CASES))
def test_output_matches_golden(
    case: str,
    form: str,
    command: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _CASES[case]().write(tmp_path / f"{case}.atrace")
    monkeypatch.chdir(tmp_path)
    assert run([command, *([f"--{form}"] if form != "txt" else []), f"{case}.atrace"]) in (0, 1)
    _check(f"{case}-{command}.{form}", capsys.readouterr().out, text=form == "txt")


@pytest.mark.parametrize(("command", "form"), _FORMS)
def test_output_of_several_traces_matches_golden(
    form: str,
    command: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two traces of one boot, one of another host, and one unreadable."""
    later, earlier, other = _busy(), _hostile(), _busy()
    earlier.meta = replace(earlier.meta, hostname="one", start_ts_ns=100, end_ts_ns=900_000_000)
    later.meta = replace(later.meta, hostname="one")
    other.meta = replace(
        other.meta, hostname="two\x1b[0m", boot_id="b0000000", wall_offset_ns=1 << 60, arch="arm64"
    )
    (tmp_path / "all" / "d.atrace").mkdir(parents=True)
    (tmp_path / "all" / "d.atrace" / "meta.json").write_text("{}")
    for name, builder in (("a", later), ("b", earlier), ("c", other)):
        builder.write(tmp_path / "all" / f"{name}.atrace")
    monkeypatch.chdir(tmp_path)
    assert run([command, *([f"--{form}"] if form != "txt" else []), "all"]) == ExitCode.INPUT
    captured = capsys.readouterr()
    _check(f"several-{command}.{form}", captured.out, text=form == "txt")
    assert "left out: all/d.atrace/meta.json: " in captured.err


@pytest.mark.parametrize(
    ("case", "number"), [(case, number) for case, them in _EXPLAINED.items() for number in them]
)
def test_explanation_matches_golden(
    case: str,
    number: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _CASES[case]().write(tmp_path / f"{case}.atrace")
    monkeypatch.chdir(tmp_path)
    assert run(["explain", f"{case}.atrace", str(number)]) == 1
    _check(f"{case}-explain-{number}.txt", capsys.readouterr().out, text=True)
