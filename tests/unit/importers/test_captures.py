"""Real captures import to their known content."""

from __future__ import annotations

import json
from typing import Any

import pytest

from arenatrace.importers.reports.records import Fault, Source
from tests.unit.importers.collect import STREAMS, capture, collect

_LINES = (23, 24, 25, 28)
_PAGE = 4096


def _source(fault: Fault) -> Source | None:
    return next(frame.source for frame in fault.frames if frame.bpf)


@pytest.mark.parametrize("name", STREAMS)
def test_stream_captures_have_exactly_four_reports(name: str) -> None:
    found = collect(capture(name))
    faults = found.faults
    assert [(f.kernel_side, f.write) for f in faults] == [
        (True, False),
        (True, True),
        (True, False),
        (False, True),
    ]
    # The first report is on page 0 of the arena.
    first = faults[0].uaddr or 0
    assert [((f.uaddr or 0) - first) / _PAGE for f in faults] == [0, 1, 50, 2]
    sources = [_source(fault) for fault in faults]
    assert [source and (source.file, source.line) for source in sources] == [
        ("wl.bpf.c", line) for line in _LINES
    ]
    assert {fault.task.comm for fault in faults if fault.task} == {"wl"}
    assert all(fault.complete and fault.has_ip and not fault.oops for fault in faults)
    assert [fault.frames[0].symbol for fault in faults[:3]] == [
        "arenapoke_read",
        "arenapoke_write",
        "arenapoke_read",
    ]
    assert all(fault.frames[0].module == "arenapoke" for fault in faults[:3])
    assert not found.unparsed
    assert not found.other_reports
    assert found.text.format == "stream"


def test_oops_capture_has_one_fault_with_register_address() -> None:
    found = collect(capture("dmesg-6.12.107-oops.txt"))
    (fault,) = found.faults
    assert fault.oops
    assert fault.kernel_side
    assert fault.write is False
    assert fault.error_code == 0
    assert fault.kaddr == 0xFF56772E290E8008
    assert fault.kernel == "6.12.107+deb13-cloud-amd64"
    assert [frame.symbol for frame in fault.frames[:2]] == [
        "arenapoke_read",
        "bpf_prog_bc0c7f4d49077d4b_touch",
    ]
    assert fault.task is not None
    assert (fault.task.cpu, fault.task.tid, fault.task.comm) == (1, 398, "wl")
    # The program read 8 bytes into the page of a pointer in its registers.
    assert fault.arena_address is not None
    assert fault.arena_address.uaddr == 0x7FDE68001008
    assert fault.arena_address.kern_vm_start == 0xFF56772DC10E7000
    assert found.text.format == "dmesg+oops"
    assert found.stamps[0] is not None
    assert found.stamps[0].ns == 59_169_703_000
    assert len([line for line in capture("dmesg-6.12.107-oops.txt").splitlines() if line]) == (
        found.text.unparsed + 46
    )


@pytest.mark.parametrize("program", ["alpha", "beta"])
def test_reports_match_the_workload_truth(program: str) -> None:
    truth: list[dict[str, Any]] = json.loads(capture("truth-7.2.13.json"))[program]["faults"]
    found = collect(capture(f"{program}-7.2.13.txt"))
    assert len(found.faults) == len(truth)
    for fault, known in zip(found.faults, truth, strict=True):
        exact = int(known["uaddr"], 16)
        assert fault.kernel_side is (known["side"] == "kernel")
        assert fault.write is (known["access"] == "write")
        assert fault.uaddr == (exact - exact % _PAGE if fault.kernel_side else exact)
        assert fault.task is not None
        assert fault.task.tid == known["tid"]
        source = _source(fault)
        assert source is not None
        assert (source.file, source.line) == (known["file"], known["stream_line"])
        inner = next(frame.bpf for frame in fault.frames if frame.bpf)
        assert inner[1] == known["function"]
    assert not found.unparsed
