"""Replay and synth on trace directories: encoding, processes and the command line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from arenatrace.cli.app import run
from arenatrace.model import ops
from arenatrace.model.kernel.profiles import PROFILES
from arenatrace.model.synth.event_log import Plan, SynthEvent
from arenatrace.model.synth.mutate import make_mutated
from arenatrace.model.synth.synthesize import make
from arenatrace.replay.processes import group_arenas
from arenatrace.replay.run import replay_trace
from arenatrace.replay.survey import survey_trace
from arenatrace.replay.synthetic_trace import write_trace
from arenatrace.replay.trace_events import segments
from arenatrace.replay.what_if import what_if_trace
from arenatrace.schema import PAGE_SIZE, Kind, Outcome
from arenatrace.trace.reader import Trace, open_trace
from tests.data.trace_builder import KERN, USER, TraceBuilder, sample_meta
from tests.paths import ROOT
from tests.unit.model import hand_written_events as by_hand

_SAMPLES = sorted((ROOT / "sample_traces").glob("*.atrace"))


def _written(path: Path, plan: Plan) -> Trace:
    arenas, events = make(plan)
    write_trace(path, arenas, events, profile=plan.profile, note="test")
    return open_trace(path)


def _output(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, Any]:
    code = run([str(argument) for argument in arguments])
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_encoded_columns_equal_encoded_events(tmp_path: Path, profile: str) -> None:
    plan = Plan(3, 3000, arenas=3, profile=profile)
    arenas, made = make(plan)
    events = [*made, *_oddities()]
    events = [replace(event, seq=seq) for seq, event in enumerate(events)]
    write_trace(tmp_path / "t", arenas, events, profile=profile, note="test")
    trace = open_trace(tmp_path / "t")
    found = survey_trace(trace)
    expected = by_hand.segments(
        found.arenas.values(), sorted(events, key=lambda e: (e.ts_ns, e.seq))
    )
    seen = 0
    for arena, segment in segments(trace, found, list(expected)):
        assert ops.Segment(*map(list, segment)) == expected[arena]
        seen += len(segment.op)
    assert seen == len(events)


def _oddities() -> list[SynthEvent]:
    """Return rows with missing, contradictory or out-of-range members."""
    odd: dict[str, Any] = {"ts_ns": 1 << 60, "tid": 5}
    rows: list[dict[str, Any]] = [
        {"kind": Kind.PAGE_ALLOC, "pages": 1, "addr": 0, "ret": 5},
        {"kind": Kind.PAGE_ALLOC, "pages": None, "addr": None, "ret": None},
        {"kind": Kind.PAGE_ALLOC, "pages": 1, "addr": 123, "ret": 0, "pgoff": (1 << 32) - 1},
        *(
            {"kind": Kind.PAGE_ALLOC, "pages": 1, "addr": 0, "ret": ret, "node": node}
            for node in (None, -1, -2, 0, 1, 1000, (1 << 31) - 1)
            for ret in (0, 5)
        ),
        {"kind": Kind.PAGE_FREE, "pages": 0, "addr": None, "pgoff": 3},
        {"kind": Kind.PAGE_RESERVE, "pages": 2, "addr": 77, "ret": -12},
        {"kind": Kind.USER_FAULT, "outcome": Outcome.SIGBUS, "pgoff": 1 << 20},
        {"kind": Kind.KERNEL_FAULT, "addr": 8, "outcome": Outcome.OOPS, "prog": 1},
        {"kind": Kind.KERNEL_FAULT, "addr": None, "outcome": None, "pgoff": 2},
        {"kind": Kind.PROG_FAULT, "addr": (1 << 64) - 8, "outcome": Outcome.ZEROED},
        {"kind": Kind.ARENA_MMAP, "ret": -16},
    ]
    return [SynthEvent(arena=0, **odd, **row) for row in rows]


@pytest.mark.slow
def test_two_processes_give_the_result_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arenatrace.replay.processes.WORTH_A_PROCESS", 100)
    arenas, events, wrong = make_mutated(Plan(4, 2000, arenas=3), "live-page")
    write_trace(tmp_path / "t", arenas, events, profile="scratch-replace", note="test")
    trace = open_trace(tmp_path / "t")
    one, many = replay_trace(trace, jobs=1), replay_trace(trace, jobs=2)
    assert one.to_dict() == many.to_dict()
    assert [found.seq for found in many.divergences] == [wrong]


@pytest.mark.slow
def test_replay_uses_one_process_when_semaphores_are_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container without a usable /dev/shm has no semaphores."""

    def refused(*_args: object, **_how: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("arenatrace.replay.processes.WORTH_A_PROCESS", 100)
    arenas, events, wrong = make_mutated(Plan(4, 2000, arenas=3), "live-page")
    write_trace(tmp_path / "t", arenas, events, profile="scratch-replace", note="test")
    trace = open_trace(tmp_path / "t")
    one = replay_trace(trace, jobs=1)
    monkeypatch.setattr("arenatrace.replay.processes.ProcessPoolExecutor", refused)
    many = replay_trace(trace, jobs=2)
    assert one.to_dict() == many.to_dict()
    assert [found.seq for found in many.divergences] == [wrong]


def test_groups_have_about_the_same_number_of_events() -> None:
    sizes = {0: 4_500_000, 1: 2_500_000, 2: 2_000_000, 3: 10}
    assert group_arenas(sizes, 2) == [[0], [1, 2, 3]] or group_arenas(sizes, 2) == [[0, 3], [1, 2]]
    assert group_arenas(sizes, 1) == [[0, 1, 2, 3]]
    assert group_arenas({5: 10}, 8) == [[5]]
    assert group_arenas({}, 8) == []


def test_unsealed_trace_gives_the_result_of_the_sealed_one(tmp_path: Path) -> None:
    script = by_hand.Script()
    script.alloc(0)
    builder = _builder()
    for event in script.events:
        builder.event(event.kind, **_row(event))
    sealed = open_trace(builder.write(tmp_path / "a"))
    torn = open_trace(builder.write(tmp_path / "b", seal=False))
    assert replay_trace(sealed).to_dict() == replay_trace(torn).to_dict()


def _builder(**meta: Any) -> TraceBuilder:
    builder = TraceBuilder(sample_meta(**meta))
    builder.arena()
    return builder


def _row(event: SynthEvent) -> dict[str, Any]:
    row = {name: value for name, value in vars(event).items() if value is not None}
    for name in ("kind", "seq", "ts_ns", "prog"):
        row.pop(name, None)
    if "outcome" in row:
        row["outcome"] = int(row["outcome"])
    return row


# ---- the command line ----


def test_consistent_trace_exits_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _written(tmp_path / "t", Plan(1, 500))
    code, shown = _output(capsys, "replay", tmp_path / "t", "--json")
    assert code == 0
    assert shown["schema"] == "arenatrace.replay/1"
    assert (shown["verdict"], shown["profile"]) == ("consistent", "scratch-replace")
    assert shown["checked"] == shown["events"]
    assert shown["unknown"] == 0
    assert shown["divergences"] == []
    assert run(["replay", str(tmp_path / "t")]) == 0
    assert capsys.readouterr().out.startswith("CONSISTENT  profile scratch-replace\n")


def test_divergent_trace_exits_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "t"
    arguments = ["synth", "-o", str(path), "--seed", "2", "--events", "400"]
    assert run([*arguments, "--mutate", "live-page"]) == 0
    wrong = int(capsys.readouterr().err.split("at seq ")[1].split()[0])
    code, shown = _output(capsys, "replay", path, "--json")
    assert code == 1
    assert shown["verdict"] == "divergent"
    (found,) = shown["divergences"]
    assert found["seq"] == wrong
    assert {"seq", "kind", "expected", "observed", "explanation"} <= found.keys()
    assert run(["replay", str(path)]) == 1
    assert "live page" in capsys.readouterr().out


def test_trace_of_level_faults_is_inconclusive(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    builder = _builder(level="faults")
    builder.kernel_fault()
    builder.write(tmp_path / "t")
    code, shown = _output(capsys, "replay", tmp_path / "t", "--json")
    assert code == 4
    assert shown["verdict"] == "inconclusive"
    assert "level faults" in shown["reasons"][0]


def test_lost_events_are_inconclusive_and_no_divergence(tmp_path: Path) -> None:
    script = by_hand.Script()
    script.alloc(0)
    script.alloc(4)
    builder = _builder(lost={"page_alloc": 3})
    for event in script.events:
        builder.event(event.kind, **_row(event))
    timed = replay_trace(open_trace(builder.write(tmp_path / "untimed")))
    assert timed.verdict == "inconclusive"
    builder.event(Kind.LOST, pages=3, ret=int(Kind.PAGE_ALLOC))
    result = replay_trace(open_trace(builder.write(tmp_path / "timed")))
    assert result.verdict == "inconclusive"
    assert result.tally.unknown == result.tally.events == 4
    assert "lost" in result.reasons[0]


def test_unknown_profile_lists_all_profiles(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _written(tmp_path / "t", Plan(1, 50))
    for option in ("--profile", "--what-if"):
        assert run(["replay", str(tmp_path / "t"), option, "7.2"]) == 2
        message = capsys.readouterr().err
        assert all(name in message for name in PROFILES)
    assert run(["synth", "-o", str(tmp_path / "u"), "--seed", "1", "--profile", "x"]) == 2
    assert run(["synth", "-o", str(tmp_path / "u"), "--seed", "1", "--mutate", "x"]) == 2
    assert "live-page" in capsys.readouterr().err
    assert not (tmp_path / "u").exists()


def test_missing_trace_exits_3(tmp_path: Path) -> None:
    assert run(["replay", str(tmp_path / "nothing")]) == 3


def test_auto_profile_finds_scratch_sticky_with_evidence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = by_hand.Script()
    script.kernel(0, Outcome.SCRATCH_INSTALLED)
    script.alloc(None)
    builder = _builder()
    for event in script.events:
        builder.event(event.kind, **_row(event))
    builder.write(tmp_path / "t")
    code, shown = _output(capsys, "replay", tmp_path / "t", "--json")
    assert (code, shown["profile"]) == (0, "scratch-sticky")
    assert any("refused because of scratch" in line for line in shown["profile_evidence"])
    script.alloc(0, at=True)
    builder.event(script.events[-1].kind, **_row(script.events[-1]))
    builder.write(tmp_path / "mixed")
    code, shown = _output(capsys, "replay", tmp_path / "mixed", "--json")
    assert code == 1
    assert shown["divergences"][-1]["kind"] == "profile"


def test_what_if_lists_the_events_that_differ(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = by_hand.Script()
    script.kernel(0, Outcome.SCRATCH_INSTALLED)
    script.alloc(0)
    builder = _builder()
    for event in script.events:
        builder.event(event.kind, **_row(event))
    builder.write(tmp_path / "t")
    seen = {}
    for profile in PROFILES:
        code, shown = _output(capsys, "replay", tmp_path / "t", "--json", "--what-if", profile)
        assert code == 0
        seen[profile] = [
            (one["recorded"], one["would_be"]) for one in shown["what_if"]["differences"]
        ]
    assert seen == {
        "pre-scratch": [("scratch-installed", "oops")],
        "map-always": [("scratch-installed", "no fault")],
        "scratch-sticky": [("page 0", "refused")],
        "scratch-replace": [],
    }
    assert run(["replay", str(tmp_path / "t"), "--what-if", "scratch-sticky"]) == 0
    assert "EBUSY" in capsys.readouterr().out


def test_what_if_scratch_replace_allocates_over_scratch_of_a_sticky_trace(tmp_path: Path) -> None:
    trace = _written(tmp_path / "t", Plan(5, 2000, profile="scratch-sticky"))
    other = what_if_trace(trace, "scratch-sticky", "scratch-replace")
    assert any("refused -> pages" in sort for sort in other.kinds)
    same = what_if_trace(trace, "scratch-sticky", "scratch-sticky")
    assert same.count == 0


def test_impossible_rows_diverge(tmp_path: Path) -> None:
    builder = _builder()
    builder.event(Kind.KERNEL_FAULT, arena=77, addr=KERN, outcome=int(Outcome.OOPS))
    builder.event(Kind.PAGE_ALLOC, arena=0, pages=1, addr=0, ret=-4096)
    builder.event(Kind.PAGE_FREE, arena=0, pages=4_294_967_295, addr=USER, sleepable=True)
    builder.event(Kind.USER_FAULT, arena=0, addr=USER + 400 * PAGE_SIZE, outcome=6)
    result = replay_trace(open_trace(builder.write(tmp_path / "t")))
    assert [found.kind for found in result.divergences] == ["page_alloc", "user_fault"]


@pytest.mark.parametrize("path", _SAMPLES, ids=lambda path: path.stem)
def test_sample_trace_is_consistent(path: Path) -> None:
    result = replay_trace(open_trace(path))
    assert result.verdict == "consistent"
    assert result.tally.unknown == 0
    assert result.tally.unexplained == 0
