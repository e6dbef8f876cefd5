"""The cause of every fault on a real kernel is the one the workload made it for."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import pytest

from .recordings import Recording
from .truth_causes import expected_causes

Row = dict[str, Any]


@pytest.fixture(params=["all", "unload-after-fault"])
def recording(request: pytest.FixtureRequest, recordings: dict[str, Recording]) -> Recording:
    """The recordings in which every fault's order is known."""
    return recordings[request.param]


def _pairs(recording: Recording) -> list[tuple[Row, Row]]:
    """Each fault of the truth with its row: both are in order within a thread and program."""
    rows: dict[tuple[int, int], list[Row]] = defaultdict(list)
    truth: dict[tuple[int, int], list[Row]] = defaultdict(list)
    for row in recording.faults():
        rows[row["prog"]["id"], row["task"]["tid"]].append(row)
    for fault in recording.truth["faults"]:
        truth[fault["program_id"], fault["tid"]].append(fault)
    return [pair for key, faults in truth.items() for pair in zip(faults, rows[key], strict=True)]


def test_every_cause_is_the_workloads(recording: Recording) -> None:
    expected = expected_causes(recording.truth)
    pairs = _pairs(recording)
    wrong = [
        (fault["kind"], expected[fault["seq"]], row["cause"], row["evidence"])
        for fault, row in pairs
        if row["cause"] != expected[fault["seq"]]
    ]
    print(f"{recording.mode}: {Counter(row['cause'] for _, row in pairs)}")
    assert len(pairs) == len(recording.truth["faults"])
    assert not wrong


def test_nothing_that_was_recorded_whole_is_in_doubt(recording: Recording) -> None:
    sure = {(row["cause"], row["confidence"]) for row in recording.faults()}
    assert {confidence for cause, confidence in sure if cause != "out-of-bounds"} == {"certain"}


def test_kinds_meant_for_one_cause_have_it(recordings: dict[str, Recording]) -> None:
    by_kind: dict[str, Counter[str]] = defaultdict(Counter)
    for fault, row in _pairs(recordings["all"]):
        by_kind[fault["kind"]][row["cause"]] += 1
    assert by_kind["uaf-deferred"] == {"use-after-free": 13}
    assert by_kind["reserved"] == {"reserved-guard": 12}
    assert by_kind["after-free-over-scratch"] == {"refault": 30}
    assert by_kind["beyond-user"] == {"outside-user-range": 30}
    assert by_kind["upper-guard"] == {"guard-band": 12}


def test_user_space_that_the_scratch_page_hit_is_counted(
    recordings: dict[str, Recording],
) -> None:
    recording = recordings["all"]
    hit = sum(row["user_sigsegv"] for row in recording.faults())
    assert hit == recording.truth["totals"]["user-segv"]["ok"]


def test_what_ended_each_scratch_page_adds_up(recordings: dict[str, Recording]) -> None:
    recording = recordings["all"]
    ended = Counter(
        row["ended_by"] for row in recording.faults() if row["outcome"] == "scratch-installed"
    )
    totals = recording.truth["totals"]
    assert ended["alloc"] == totals["alloc"]["scratch_pages"]
    assert ended["free"] == totals["free"]["scratch_pages"]
    installed = sum(fault["side"] == "kernel" for fault in recording.truth["faults"])
    assert ended["destroy"] == installed - ended["alloc"] - ended["free"]


def test_two_cpus_on_one_page_share_a_cause(recordings: dict[str, Recording]) -> None:
    rows = recordings["both-cpus"].faults()
    assert {row["cause"] for row in rows} <= {"never-allocated"}
