"""Other reports of a stream are recognized and separated from arena faults."""

from __future__ import annotations

import pytest

from arenatrace.importers.reports.records import OtherReport
from tests.unit.importers.collect import capture, collect

_TEXT = capture("stream-7.3-rc7.txt")
_STACK = _TEXT[_TEXT.index("CPU:") : _TEXT.index("\n\n") + 2]

# Formats of kernel/bpf/core.c, rqspinlock.c and the BPF code of arena ASAN.
_ERRORS = {
    "ERROR: Timeout detected for may_goto instruction\n": "may_goto timeout",
    "ERROR: AA or ABBA deadlock detected for bpf_res_spin_lock\n"
    "Attempted lock   = 0xffff888100000000\n"
    "Total held locks = 1\n"
    "Held lock[ 0] = 0xffff888100000000\n": "bpf_res_spin_lock deadlock",
    "ERROR: Timeout detected for bpf_res_spin_lock_irqsave\n"
    "Attempted lock   = 0xffff888100000000\n"
    "Total held locks = 0\n": "bpf_res_spin_lock timeout",
    "Memory violation for address 0x7f0000001234 (0x7f0000001234) for write of size 8\n": (
        "arena ASAN memory violation, write of size 8"
    ),
}


@pytest.mark.parametrize("head", list(_ERRORS))
def test_other_error_between_reports_is_an_other_report(head: str) -> None:
    found = collect(_TEXT + head + _STACK + _TEXT)
    assert found.faults == collect(_TEXT).faults * 2
    assert found.other_reports == [OtherReport(_ERRORS[head], "touch")]
    assert not found.unparsed


@pytest.mark.parametrize("head", list(_ERRORS))
def test_other_error_without_stack_is_an_other_report(head: str) -> None:
    assert collect(head).other_reports == [OtherReport(_ERRORS[head])]


def test_stack_printed_by_a_program_is_not_a_report() -> None:
    dump = _STACK.replace("__bpf_prog_report_arena_violation.isra.0", "bpf_stream_print_stack")
    found = collect(_TEXT + dump + _TEXT)
    assert found.faults == collect(_TEXT).faults * 2
    assert not found.other_reports
    assert found.unparsed == dump.splitlines()[:-1]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("error_code(0x0003) - permissions violation", "a kernel oops that is not a missing page"),
        ("error_code(0x0010) - not-present page", None),
    ],
)
def test_oops_is_an_arena_fault_only_when_the_page_is_missing(line: str, what: str | None) -> None:
    oops = capture("dmesg-6.12.107-oops.txt")
    found = collect(oops.replace("error_code(0x0000) - not-present page", line))
    assert [report.description for report in found.other_reports] == ([what] if what else [])
    assert len(found.faults) == (0 if what else 1)


def test_oops_without_bpf_frame_is_not_an_arena_fault() -> None:
    found = collect(capture("dmesg-6.12.107-oops.txt").replace("bpf_prog_bc", "bpf_junk_bc"))
    assert [report.description for report in found.other_reports] == [
        "a kernel oops without a BPF program at fault"
    ]


@pytest.mark.parametrize(
    "change",
    [
        ("R13: 00007fde68001000", "R13: 00007fde78001000"),  # alone, RBX gives no upper half
        ("R12: ff56772dc10e7000", "R12: 0000000000000000"),
        ("R12: ff56772dc10e7000", "R12: ff56772e290e8000"),  # the page itself, not the base
        ("R12: ff56772dc10e7000", "R12: ff56772dc10e7008"),
    ],
)
def test_inconsistent_registers_give_no_user_address(
    change: tuple[str, str],
) -> None:
    (fault,) = collect(capture("dmesg-6.12.107-oops.txt").replace(*change)).faults
    assert fault.arena_address is None or fault.arena_address.uaddr is None
