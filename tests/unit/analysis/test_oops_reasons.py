"""Oops reasons, recorded and derived, and kernel-owned pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from arenatrace.analysis.faults import faults
from arenatrace.cli.app import run
from arenatrace.schema import Kind, OopsReason, Outcome
from arenatrace.trace.reader import open_trace
from tests.data.trace_builder import KERN, USER, TraceBuilder, sample_meta

_PAGE_1 = KERN + (USER & 0xFFFF_FFFF) + 4096


def _rows(builder: TraceBuilder, path: Path) -> list[dict[str, Any]]:
    return faults(open_trace(builder.write(path / "t.atrace"))).collect().to_dicts()


@pytest.mark.parametrize("reason", OopsReason)
def test_recorded_oops_reason_is_shown_with_a_sentence(reason: OopsReason, tmp_path: Path) -> None:
    builder = TraceBuilder()
    builder.arena()
    builder.kernel_fault(outcome=int(Outcome.OOPS), oops_reason=int(reason))
    (row,) = _rows(builder, tmp_path)
    assert row["oops_reason"] == reason.label
    (sentence,) = [text for text in row["evidence"] if text.startswith("not recovered: ")]
    assert len(sentence) > 30


def test_oops_reason_is_null_if_none_follows(tmp_path: Path) -> None:
    builder = TraceBuilder()
    builder.arena()
    builder.kernel_fault(outcome=int(Outcome.OOPS))
    builder.kernel_fault()
    for row in _rows(builder, tmp_path):
        assert row["oops_reason"] is None
        assert not any(text.startswith("not recovered") for text in row["evidence"])


_CODE = 0xFFFF_FFFF_A000_0000


@pytest.mark.parametrize(
    ("case", "changes", "reason"),
    [
        ("no-arena", {"prog": 1}, "no-arena"),
        ("lower guard", {"prog": 0, "addr": KERN - 40}, "outside-arena"),
        ("past the upper guard", {"prog": 0, "addr": KERN + (1 << 32) + 32768}, "outside-arena"),
        ("in the upper guard", {"prog": 0, "addr": KERN + (1 << 32) + 32767}, None),
        ("its own arena", {"prog": 0}, None),
        ("protection", {"prog": 0, "error_code": 3}, "protection"),
        ("no program on the stack", {"prog": None, "stack": 1}, "no-program"),
        ("no stack", {"prog": None}, None),
        ("an unknown program", {"prog": 2}, None),
    ],
)
def test_unrecorded_oops_reason_is_derived(
    case: str, changes: dict[str, Any], reason: str | None, tmp_path: Path
) -> None:
    builder = TraceBuilder()
    arena = builder.arena()
    builder.program("alpha", [("alpha", _CODE, _CODE + 64)], arena=arena)
    builder.program("helper", [("helper", _CODE + 64, _CODE + 128)])
    builder.program("lost", [("lost", _CODE + 128, _CODE + 192)], type=None)
    builder.stack(_CODE - 64, _CODE - 32)
    builder.kernel_fault(outcome=int(Outcome.OOPS), **changes)
    (row,) = _rows(builder, tmp_path)
    assert row["oops_reason"] == reason
    assert any(text.startswith("not recovered: ") for text in row["evidence"]) == bool(reason)
    guard = [text for text in row["evidence"] if "guard below" in text]
    assert bool(guard) == (case == "lower guard")


def test_oops_reason_is_no_handler_under_pre_scratch(tmp_path: Path) -> None:
    builder = TraceBuilder(meta=sample_meta(profile="pre-scratch"))
    builder.arena()
    builder.kernel_fault(outcome=int(Outcome.OOPS))
    (row,) = _rows(builder, tmp_path)
    assert row["oops_reason"] == "no-handler"


@pytest.mark.parametrize(
    ("reason", "code"), [(OopsReason.PROTECTION, 0), (OopsReason.NO_HANDLER, 1), (None, 1)]
)
def test_replay_accepts_an_oops_on_a_mapped_page_only_for_protection(
    reason: OopsReason | None, code: int, tmp_path: Path
) -> None:
    builder = TraceBuilder(sample_meta(profile="pre-scratch"))
    builder.arena()
    user = USER + 4096
    builder.event(Kind.PAGE_ALLOC, arena=0, pgoff=1, pages=1, addr=user, ret=user, sleepable=True)
    number = None if reason is None else int(reason)
    builder.kernel_fault(outcome=int(Outcome.OOPS), oops_reason=number)
    assert run(["replay", str(builder.write(tmp_path / "t.atrace"))]) == code


def test_evidence_names_sched_ext_for_kernel_owned_pages(tmp_path: Path) -> None:
    builder = TraceBuilder()
    builder.arena()
    builder.kernel_fault()
    builder.event(Kind.KERNEL_ALLOC, arena=0, pgoff=0, pages=2, addr=_PAGE_1 - 8, ret=16)
    builder.event(Kind.KERNEL_ALLOC, arena=0, addr=0, pages=0, ret=16)
    builder.event(Kind.KERNEL_FREE, arena=0, pgoff=0, pages=2, addr=_PAGE_1 - 8, ret=16)
    builder.kernel_fault()
    builder.kernel_fault(addr=_PAGE_1 + 4096)
    before, after, next_page = (
        any("kernel-owned (sched_ext)" in text for text in row["evidence"])
        for row in _rows(builder, tmp_path)
    )
    assert (before, after, next_page) == (False, True, False)
