"""Reports joined to other text, split anywhere, mixed with other lines."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arenatrace.importers.reports.records import OtherReport
from tests.runs import runs
from tests.unit.importers.collect import capture, collect

_TEXT = capture("stream-7.3-rc7-with-tracing.txt")
_RESULT = collect(_TEXT)
_REPORT = _TEXT[: _TEXT.index("\n\n") + 2]
_NESTED = capture("beta-7.2.13.txt")


@pytest.mark.parametrize("at", range(len(_REPORT) + 1))
def test_report_split_at_any_byte_is_joined(at: int) -> None:
    found = collect(_TEXT[:at] + "\n" + _TEXT[at:])
    assert found.faults == _RESULT.faults
    assert not found.unparsed


@given(st.integers(0, len(_NESTED)))
@settings(deadline=None, max_examples=runs(300))
def test_report_with_subprograms_split_at_any_byte_is_joined(at: int) -> None:
    found = collect(_NESTED[:at] + "\n" + _NESTED[at:])
    assert found.faults == collect(_NESTED).faults


@given(st.integers(0, len(_REPORT)))
@settings(deadline=None, max_examples=runs(200))
def test_line_between_two_pieces_loses_one_line_at_most(at: int) -> None:
    foreign = "\nusb 1-1: new high-speed USB device\n"
    found = collect(_TEXT[:at] + foreign + _TEXT[at:])
    # The report is found, possibly without a frame or a source line, or it is counted as lost.
    assert len(found.faults) + sum(report.lost for report in found.other_reports) >= 4
    assert found.faults[-3:] == _RESULT.faults[-3:]
    if len(found.faults) == 4:
        got, want = found.faults[0], _RESULT.faults[0]
        assert (got.kernel_side, got.write) == (want.kernel_side, want.write)
        assert len(got.frames) >= len(want.frames) - 1


@given(st.lists(st.integers(0, _TEXT.count("\n")), max_size=6), st.text(max_size=40))
@settings(deadline=None, max_examples=runs(200))
def test_unrelated_lines_inside_a_report_are_ignored(positions: list[int], noise: str) -> None:
    # Longer than a task name: a shorter line below the task could be the rest of its name.
    foreign = "~ outside of a report " + noise.replace("\n", " ").replace("\r", " ")
    lines = _TEXT.split("\n")
    for position in sorted(positions, reverse=True):
        lines.insert(position, foreign)
    found = collect("\n".join(lines))
    assert found.faults == _RESULT.faults
    assert len(found.unparsed) == len(positions)


@given(st.binary(max_size=2000), st.integers(0, 2000))
@settings(deadline=None, max_examples=runs(300))
def test_import_accepts_arbitrary_bytes(garbage: bytes, at: int) -> None:
    raw = _TEXT.encode()
    collect(b"text " * 400 + raw[:at] + garbage + raw[at:])


def test_report_starts_after_program_output_without_newline() -> None:
    found = collect(_TEXT.replace("ERROR: Arena", "tick 42 ERROR: Arena"))
    assert found.faults == _RESULT.faults
    assert found.unparsed == ["tick 42 "] * 4


def test_consecutive_reports_need_no_empty_line() -> None:
    assert collect(_TEXT.replace("\n\n", "\n")).faults == _RESULT.faults


def test_source_line_with_a_report_header_stays_source() -> None:
    fake = "/* ERROR: Arena READ access at unmapped address 0x666 */"
    found = collect(_TEXT.replace("/* wild */", fake))
    assert len(found.faults) == 4
    frame = next(frame for frame in found.faults[2].frames if frame.bpf)
    assert frame.source is not None
    assert frame.source.text.endswith(fake)


@pytest.mark.parametrize("lines", range(1, 18))
def test_truncated_report_is_a_fault_or_a_loss(lines: int) -> None:
    found = collect("\n".join(_REPORT.splitlines()[:lines]) + "\n")
    assert len(found.faults) + sum(report.lost for report in found.other_reports) == 1
    assert all(not fault.complete for fault in found.faults) or lines >= 16


def test_report_without_header_is_a_loss() -> None:
    found = collect(_REPORT.partition("\n")[2])
    assert not found.faults
    assert found.other_reports == [OtherReport("a report without its first line", lost=True)]
