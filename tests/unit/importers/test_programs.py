"""Programs of BPF frames, and synthetic code addresses."""

from __future__ import annotations

from arenatrace.importers.program_of_stack import Program, programs_on_stack
from arenatrace.importers.reports.records import Frame, Source
from arenatrace.importers.synthetic_code import SyntheticCode
from arenatrace.schema import SYNTHETIC_CODE_END, SYNTHETIC_CODE_START

_A, _B = "a" * 16, "b" * 16


def _bpf(tag: str, name: str, line: int | None = 1) -> Frame:
    source = None if line is None else Source("x.bpf.c", line, "x();")
    return Frame(f"bpf_prog_{tag}_{name}", 0x10, 0x40, source=source)


def _kernel(name: str) -> Frame:
    return Frame(name, 0x10, 0x40)


def test_outermost_of_consecutive_bpf_frames_is_the_program() -> None:
    stack = [_kernel("kfunc"), _bpf(_B, "leaf"), _bpf(_A, "main"), _kernel("run")]
    main = Program(_A, "main")
    assert programs_on_stack(stack, None) == {1: main, 2: main}


def test_synchronous_callback_belongs_to_its_caller() -> None:
    stack = [_bpf(_B, "callback"), _kernel("bpf_loop"), _bpf(_A, "main"), _kernel("run")]
    main = Program(_A, "main")
    assert programs_on_stack(stack, None) == {0: main, 2: main}


def test_timer_callback_has_no_program() -> None:
    stack = [_bpf(_B, "callback"), _kernel("bpf_timer_cb"), _kernel("hrtimer_run_softirq")]
    part = f"bpf_prog_{_B}_callback"
    assert programs_on_stack(stack, None) == {0: Program(None, None, part)}
    assert programs_on_stack(stack, "sched") == {0: Program(None, "sched", part)}


def test_truncated_stack_has_no_program() -> None:
    assert programs_on_stack([_bpf(_B, "f")], None)[0].name is None


def test_bpf_frames_with_kernel_frames_between_are_two_programs() -> None:
    stack = [_bpf(_B, "inner"), _kernel("trampoline"), _bpf(_A, "outer"), _kernel("run")]
    assert programs_on_stack(stack, None) == {0: Program(_B, "inner"), 2: Program(_A, "outer")}


def test_same_code_gets_the_same_synthetic_addresses() -> None:
    code = SyntheticCode()
    stack = [_kernel("kfunc"), _bpf(_A, "main"), _kernel("run")]
    first, addresses, _ = code.stack(stack, None)
    second, second_addresses, _ = code.stack(stack, None)
    assert (first, addresses) == (second, second_addresses)
    assert all(SYNTHETIC_CODE_START <= a < SYNTHETIC_CODE_END for a in addresses)
    assert len(set(addresses)) == 3
    assert len(code.stack_rows) == 1
    assert [row["name"] for row in code.symbol_rows] == [frame.symbol for frame in stack]


def test_same_code_with_other_source_lines_is_a_variant() -> None:
    code = SyntheticCode()
    root = _kernel("run")
    before = code.stack([_bpf(_A, "main", 10), root], None)[1][0]
    after = code.stack([_bpf(_A, "main", 11), root], None)[1][0]
    without = code.stack([_bpf(_A, "main", None), root], None)[1][0]
    assert len({before, after, without}) == 3
    (row,) = code.program_rows()
    assert {line["addr"]: line["line"] for line in row["lines"]} == {
        before: 10,
        after: 11,
        without: None,
    }
    starts = [func["start"] for func in row["funcs"]]
    assert len(starts) == 3


def test_bare_address_is_not_replaced() -> None:
    code = SyntheticCode()
    assert code.stack([Frame("", address=0xFFFF_FFFF_C000_1234)], None)[1] == [0xFFFFFFFFC0001234]
    assert not code.symbol_rows
