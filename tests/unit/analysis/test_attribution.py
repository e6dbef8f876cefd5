"""Attribution of faults: program, function, source line, callee and signature."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from arenatrace.analysis.faults import faults
from arenatrace.schema import Kind, Outcome
from arenatrace.trace.reader import open_trace
from tests.data.trace_builder import KERN, USER, TraceBuilder

_KFUNC = 0xFFFF_FFFF_C000_0040
_CODE = 0xFFFF_FFFF_A000_0000  # too high for a float to distinguish adjacent addresses


def _lines(start: int, file: str, *lines: tuple[int, int, str]) -> list[dict[str, Any]]:
    return [
        {"addr": start + offset, "file": file, "line": line, "col": 1, "text": text}
        for offset, line, text in lines
    ]


def _alpha(builder: TraceBuilder, start: int = _CODE, **values: Any) -> int:
    funcs = [("alpha", start, start + 0x100), ("touch", start + 0x100, start + 0x200)]
    lines = _lines(
        start,
        "/src/alpha.bpf.c",
        (0x00, 10, "int alpha(void *ctx)"),
        (0x40, 12, "\ttouch(ctx);"),
        (0x100, 20, "static void touch(void *ctx)"),
        (0x110, 23, "  arenapoke_read(p);  "),
        (0x120, 24, "}"),
    )
    return builder.program("alpha", funcs, **{"arena": 0, "lines": lines, **values})


def _rows(builder: TraceBuilder, path: Path) -> list[dict[str, Any]]:
    return faults(open_trace(builder.write(path / "t.atrace"))).collect().to_dicts()


@pytest.fixture
def builder() -> TraceBuilder:
    trace = TraceBuilder()
    trace.arena()
    return trace


def test_attribution_agrees_and_names_subprogram_and_line(
    builder: TraceBuilder, tmp_path: Path
) -> None:
    alpha = _alpha(builder)
    builder.symbol(_KFUNC, "arenapoke_read", module="arenapoke")
    stack = builder.stack(_KFUNC, _CODE + 0x118, _CODE + 0x48, 0xFFFF_FFFF_8100_0000)
    builder.kernel_fault(prog=alpha, ip=_KFUNC, stack=stack)
    (row,) = _rows(builder, tmp_path)
    assert row["attribution"] == "agreed"
    assert row["prog"] == {"id": 100, "name": "alpha", "tag": "0" * 16, "type": "syscall"}
    assert row["function"] == "touch"
    assert row["source"] == {"file": "/src/alpha.bpf.c", "line": 23, "text": "arenapoke_read(p);"}
    assert row["callee"] == {"symbol": "arenapoke_read", "module": "arenapoke"}
    assert row["title"] == "alpha: read in arenapoke_read from touch() alpha.bpf.c:23"
    assert (row["side"], row["outcome"]) == ("kernel", "scratch-installed")


def test_return_address_at_a_line_start_belongs_to_the_line_before(
    builder: TraceBuilder, tmp_path: Path
) -> None:
    alpha = _alpha(builder)
    builder.kernel_fault(prog=alpha, ip=_KFUNC, stack=builder.stack(_KFUNC, _CODE + 0x120))
    builder.prog_fault(prog=alpha, ip=_CODE + 0x120, stack=builder.stack(_CODE + 0x120))
    kernel, prog = _rows(builder, tmp_path)
    assert kernel["source"]["line"] == 23
    assert prog["source"]["line"] == 24


def test_return_address_after_the_last_instruction_belongs_to_the_caller(
    builder: TraceBuilder, tmp_path: Path
) -> None:
    alpha = _alpha(builder)
    builder.kernel_fault(prog=alpha, ip=_KFUNC, stack=builder.stack(_KFUNC, _CODE + 0x100))
    (row,) = _rows(builder, tmp_path)
    assert (row["function"], row["source"]["line"]) == ("alpha", 12)


def test_line_of_the_previous_function_is_not_used(builder: TraceBuilder, tmp_path: Path) -> None:
    lines = _lines(_CODE, "a.bpf.c", (0x10, 5, "x"))
    prog = builder.program(
        "p", [("f", _CODE, _CODE + 0x20), ("g", _CODE + 0x20, _CODE + 0x40)], lines=lines, arena=0
    )
    builder.prog_fault(prog=prog, ip=_CODE + 0x30)
    builder.prog_fault(prog=prog, ip=_CODE + 0x08)
    in_g, before = _rows(builder, tmp_path)
    assert (in_g["function"], in_g["source"]) == ("g", None)
    assert (before["function"], before["source"]) == ("f", None)


def test_last_of_several_lines_at_one_address_is_used(
    builder: TraceBuilder, tmp_path: Path
) -> None:
    lines = _lines(_CODE, "a.bpf.c", (0, 5, "no code"), (0, 6, "code"), (8, 7, "next"))
    prog = builder.program("p", [("f", _CODE, _CODE + 64)], lines=lines, arena=0)
    builder.prog_fault(prog=prog, ip=_CODE + 7)
    builder.prog_fault(prog=prog, ip=_CODE + 8)
    assert [row["source"]["line"] for row in _rows(builder, tmp_path)] == [6, 7]


def test_program_side_fault_has_no_callee_and_needs_no_stack(
    builder: TraceBuilder, tmp_path: Path
) -> None:
    alpha = _alpha(builder)
    builder.symbol(_CODE + 0x112, "bpf_prog_x", module="bpf")
    builder.prog_fault(prog=alpha, ip=_CODE + 0x112, write=True, outcome=int(Outcome.IGNORED))
    (row,) = _rows(builder, tmp_path)
    assert (row["callee"], row["attribution"], row["function"]) == (None, "agreed", "touch")
    assert row["title"] == "alpha: write in touch() alpha.bpf.c:23"
    assert (row["side"], row["access"], row["outcome"]) == ("prog", "write", "ignored")


def test_stack_only_attribution_names_the_innermost_program(
    builder: TraceBuilder, tmp_path: Path
) -> None:
    _alpha(builder)
    inner = builder.program("inner", [("inner", _CODE + 0x1000, _CODE + 0x1100)], arena=0)
    stack = builder.stack(_KFUNC, _CODE + 0x1010, 7, _CODE + 0x48)
    builder.kernel_fault(prog=None, ip=_KFUNC, stack=stack)
    (row,) = _rows(builder, tmp_path)
    assert (row["attribution"], row["prog"]["name"], row["prog_index"]) == (
        "stack-only",
        "inner",
        inner,
    )
    assert "the kernel's blame is not recorded" in row["evidence"][0]


def test_disputed_attribution_keeps_the_blamed_program_and_its_frame(
    builder: TraceBuilder, tmp_path: Path
) -> None:
    alpha = _alpha(builder)
    lines = _lines(_CODE + 0x1000, "/src/beta.bpf.c", (0, 3, "y"))
    builder.program("beta", [("work", _CODE + 0x1000, _CODE + 0x1100)], lines=lines, arena=0)
    stack = builder.stack(_KFUNC, _CODE + 0x1010, _CODE + 0x48)
    builder.kernel_fault(prog=alpha, ip=_KFUNC, stack=stack)
    (row,) = _rows(builder, tmp_path)
    assert (row["attribution"], row["prog"]["name"]) == ("disputed", "alpha")
    assert (row["function"], row["source"]["line"]) == ("alpha", 12)
    assert row["evidence"][:-1] == [
        "the innermost BPF frame of the stack is another program: beta, work() at beta.bpf.c:3"
    ]


def test_attribution_without_bpf_frames_is_kernel_only_or_none(
    builder: TraceBuilder, tmp_path: Path
) -> None:
    alpha = _alpha(builder)
    builder.kernel_fault(prog=alpha, ip=_KFUNC)
    builder.kernel_fault(prog=alpha, ip=_KFUNC, stack=builder.stack(_KFUNC, 5))
    builder.kernel_fault(prog=None, ip=_KFUNC, stack=builder.stack(_KFUNC, 5), outcome=3)
    no_stack, other_stack, none = _rows(builder, tmp_path)
    assert (no_stack["attribution"], no_stack["source"]) == ("kernel-only", None)
    assert no_stack["evidence"][:-1] == ["no stack was recorded"]
    assert other_stack["evidence"][:-1] == [
        "no frame of the stack belongs to a BPF program known at that time"
    ]
    assert (none["attribution"], none["prog"]) == ("none", None)
    assert none["title"] == "unknown program: read"


def test_frames_of_the_recorder_are_skipped(builder: TraceBuilder, tmp_path: Path) -> None:
    alpha = _alpha(builder)
    builder.program("probe", [("probe", _CODE + 0x1000, _CODE + 0x1100)], own=True)
    stack = builder.stack(_KFUNC, _CODE + 0x1010, _CODE + 0x118)
    builder.kernel_fault(prog=alpha, ip=_KFUNC, stack=stack)
    (row,) = _rows(builder, tmp_path)
    assert (row["attribution"], row["function"]) == ("agreed", "touch")


def test_evidence_names_the_probable_program_if_the_blamed_one_has_no_arena(
    builder: TraceBuilder, tmp_path: Path
) -> None:
    _alpha(builder)
    helper = builder.program("helper", [("helper", _CODE + 0x1000, _CODE + 0x1100)])
    stack = builder.stack(_KFUNC, _CODE + 0x1010, _CODE + 0x48)
    builder.kernel_fault(prog=helper, ip=_KFUNC, stack=stack, outcome=int(Outcome.OOPS), arena=None)
    (row,) = _rows(builder, tmp_path)
    assert (row["attribution"], row["prog"]["name"]) == ("agreed", "helper")
    assert row["evidence"][:-1] == [
        "not recovered: the program that the kernel found on the stack has no arena",
        "helper uses no arena; alpha, on the same stack, does and probably caused the fault",
    ]
    # The event has no arena; the address determines it.
    assert (row["arena"], row["band"], row["page"]) == (0, "user-range", 1)


def test_unloaded_program_is_attributed_until_a_grace_period_after_its_unload(
    builder: TraceBuilder, tmp_path: Path
) -> None:
    _alpha(builder, load_ts_ns=1_001_500_000, unload_ts_ns=1_003_000_000)
    for ts in (1_001_499_999, 1_001_500_000, 1_003_000_000, 2_003_000_000, 2_003_000_001):
        builder.prog_fault(ts_ns=ts, ip=_CODE + 0x112)
    labels = [row["attribution"] for row in _rows(builder, tmp_path)]
    # A program may run for an RCU grace period after its unload.
    assert labels == ["none", "stack-only", "stack-only", "stack-only", "none"]


def test_reused_address_range_belongs_to_the_program_loaded_at_the_fault(
    builder: TraceBuilder, tmp_path: Path
) -> None:
    second = 1_000_000_000
    _alpha(builder, load_ts_ns=None, unload_ts_ns=20 * second)
    first = (("one", _CODE + 0x80, _CODE + 0x180),)
    builder.program(
        "second", list(first), load_ts_ns=30 * second, unload_ts_ns=40 * second, arena=0
    )
    # The unload of "third" is not recorded, and "fourth" reuses its range.
    builder.program("third", list(first), load_ts_ns=50 * second, arena=0)
    builder.program("fourth", list(first), load_ts_ns=70 * second, arena=0)
    for ts in (10, 25, 35, 45, 60, 80):
        builder.prog_fault(ts_ns=ts * second, ip=_CODE + 0x112)
    names = [(row["prog"] or {}).get("name") for row in _rows(builder, tmp_path)]
    assert names == ["alpha", None, "second", None, "third", "fourth"]


def test_symbol_is_the_latest_one_before_the_fault(builder: TraceBuilder, tmp_path: Path) -> None:
    builder.symbol(_KFUNC, "later", ts_ns=9_000_000_000)
    builder.symbol(_KFUNC, "old", ts_ns=2_000_000_000, module="gone")
    builder.symbol(_KFUNC + 1, "neighbour", ts_ns=1_000_000_000)
    for ts in (2_000_000_000, 8_999_999_999, 9_000_000_000):
        builder.kernel_fault(ts_ns=ts, ip=_KFUNC)
    callees = [row["callee"] for row in _rows(builder, tmp_path)]
    assert callees == [
        {"symbol": "old", "module": "gone"},
        {"symbol": "old", "module": "gone"},
        {"symbol": "later", "module": None},
    ]


def test_symbol_within_a_second_after_the_fault_is_used_and_a_later_one_is_not(
    builder: TraceBuilder, tmp_path: Path
) -> None:
    builder.symbol(_KFUNC, "kfunc", ts_ns=5_000_000_000)
    for ts in (3_999_999_999, 4_000_000_000, 4_999_999_000):
        builder.kernel_fault(ts_ns=ts, ip=_KFUNC)
    builder.prog_fault(ts_ns=4_999_999_500, ip=_KFUNC)
    symbols = [(row["callee"] or {}).get("symbol") for row in _rows(builder, tmp_path)]
    assert symbols == [None, "kfunc", "kfunc", None]


def test_arena_found_by_address_existed_at_the_fault(builder: TraceBuilder, tmp_path: Path) -> None:
    builder.rows["arenas"].clear()
    builder.arena(create_ts_ns=1_000, destroy_ts_ns=2_000)
    builder.arena(create_ts_ns=3_000, kern_vm_start=KERN)
    for ts in (500, 1_500, 2_500, 3_500):
        builder.kernel_fault(ts_ns=ts, arena=None, addr=KERN - 1)
    rows = _rows(builder, tmp_path)
    assert [row["arena"] for row in rows] == [None, 0, None, 1]
    assert [row["band"] for row in rows] == [None, "lower-guard", None, "lower-guard"]


def test_faults_are_numbered_in_time_order(builder: TraceBuilder, tmp_path: Path) -> None:
    builder.prog_fault(ts_ns=50)
    builder.event(Kind.PAGE_ALLOC, ts_ns=10, ret=1)
    builder.kernel_fault(ts_ns=20)
    rows = _rows(builder, tmp_path)
    assert [(row["fault"], row["ts_ns"], row["side"]) for row in rows] == [
        (1, 20, "kernel"),
        (2, 50, "prog"),
    ]


def test_signature_ignores_addresses_ids_and_line_numbers(tmp_path: Path) -> None:
    signatures = set()
    for number, start in enumerate((_CODE, _CODE + 0x7770)):
        builder = TraceBuilder()
        kern = KERN + start * 4096 % (1 << 40)
        builder.arena(kern_vm_start=kern)
        lines = _lines(start, f"/build{number}/a.bpf.c", (0, 7 + number, " x = *p;"))
        prog = builder.program(
            "a", [("f", start, start + 99)], id=number, tag=f"{number}" * 16, lines=lines, arena=0
        )
        page = kern + (USER & 0xFFFF_FFFF) + 4096 * (1 + number)
        builder.prog_fault(prog=prog, ip=start + 5, pid=number, addr=page)
        home = tmp_path / str(number)
        home.mkdir()
        (row,) = _rows(builder, home)
        signatures.add(row["signature"])
    assert len(signatures) == 1
    assert len(signatures.pop()) == 12


def test_signature_differs_between_bugs(builder: TraceBuilder, tmp_path: Path) -> None:
    alpha = _alpha(builder)
    other = _alpha(builder, _CODE + 0x1000, lines=[])
    builder.symbol(_KFUNC, "one")
    builder.symbol(_KFUNC + 64, "two")
    for ip in (_KFUNC, _KFUNC + 64):
        builder.kernel_fault(prog=alpha, ip=ip, stack=builder.stack(ip, _CODE + 0x118))
    builder.kernel_fault(prog=alpha, ip=_KFUNC, stack=builder.stack(_KFUNC, _CODE + 0x48))
    builder.kernel_fault(prog=other, ip=_KFUNC, stack=builder.stack(_KFUNC, _CODE + 0x1118))
    builder.kernel_fault(prog=None, ip=_KFUNC)
    rows = _rows(builder, tmp_path)
    assert len({row["signature"] for row in rows}) == len(rows)
