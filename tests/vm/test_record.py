"""Faults on a real kernel: the trace equals the workload's account and the kernel's reports."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath
from typing import Any

import pytest

from arenatrace.schema import Kind
from arenatrace.trace.reader import open_trace
from tests.vm.recordings import Recording
from tests.vm.workloads.faults.check_truth import Report

PAGE = 4096
_BANDS = {
    "user": "user-range",
    "beyond-user": "kernel-band",
    "upper-guard": "upper-guard",
    "lower-guard": "lower-guard",
}
_RECOVERED = ("scratch-installed", "already-mapped")

Row = dict[str, Any]


@pytest.fixture(params=["all", "unload-after-fault"])
def recording(request: pytest.FixtureRequest, recordings: dict[str, Recording]) -> Recording:
    """The recordings in which the order of all faults is known."""
    return recordings[request.param]


def _by_thread(rows: Iterable[Row]) -> dict[tuple[int, int], list[Row]]:
    """Group rows by program id and thread, in order of time."""
    groups: dict[tuple[int, int], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row["prog"]["id"], row["task"]["tid"]].append(row)
    return groups


def _pairs(recording: Recording) -> list[tuple[Row, Row]]:
    """Pair each true fault with its row."""
    rows = _by_thread(recording.faults())
    truth: dict[tuple[int, int], list[Row]] = defaultdict(list)
    for fault in recording.truth["faults"]:
        truth[fault["program_id"], fault["tid"]].append(fault)
    assert {key: len(faults) for key, faults in truth.items()} == {
        key: len(group) for key, group in rows.items()
    }
    return [pair for key, faults in truth.items() for pair in zip(faults, rows[key], strict=True)]


def test_every_fault_has_a_row_with_exact_values(recording: Recording) -> None:
    for fault, row in _pairs(recording):
        expected = {
            "side": fault["side"],
            "access": fault["access"],
            "kaddr": fault["kaddr"],
            "uaddr": fault["uaddr"],
            "band": _BANDS[fault["band"]],
            "page": fault["page"],
            "offset": fault["offset"],
            "id": fault["program_id"],
            "name": fault["program"],
            "tag": fault["tag"],
            "type": "syscall",
            "function": fault["function"],
            "file": fault["file"],
            "line": fault["line"],
            "attribution": "agreed",
            "tid": fault["tid"],
        }
        got = {
            **row,
            **row["prog"],
            "file": PurePosixPath(row["source"]["file"]).name,
            "line": row["source"]["line"],
            "tid": row["task"]["tid"],
        }
        assert {name: got[name] for name in expected} == expected


def _identity(row: Row) -> tuple[Any, ...]:
    """Return the values of a row that the workload knows, without its order."""
    prog = row["prog"]
    return (prog["name"], prog["id"], row["side"], row["access"], row["band"], row["kaddr"])


def test_counts_of_every_kind_equal_the_workload(
    recording: Recording, figures: Callable[[str], None]
) -> None:
    """Count rows by their values; the truth gives the kind of each access."""
    rows = Counter(_identity(row) for row in recording.faults())
    truth: dict[str, Counter[tuple[Any, ...]]] = defaultdict(Counter)
    for fault in recording.truth["faults"]:
        prog = (fault["program"], fault["program_id"], fault["side"], fault["access"])
        truth[fault["kind"]][(*prog, _BANDS[fault["band"]], fault["kaddr"])] += 1
    lines = [f"{recording.mode}: workload, faults --json"]
    for kind, wanted in truth.items():
        found = rows & wanted
        lines.append(f"  {kind}: {wanted.total()}, {found.total()}")
        assert found == wanted
        rows -= wanted
    figures("\n".join(lines))
    assert rows.total() == 0
    counts: Counter[str] = Counter()
    for count in recording.truth["counts"]:
        counts[count["kind"]] += count["count"]
    assert {kind: wanted.total() for kind, wanted in truth.items()} == counts


def test_outcomes_follow_side_and_access(recording: Recording) -> None:
    by_case = {(row["side"], row["access"], row["outcome"]) for row in recording.faults()}
    assert by_case <= {
        ("kernel", "read", "scratch-installed"),
        ("kernel", "write", "scratch-installed"),
        ("prog", "read", "zeroed"),
        ("prog", "write", "ignored"),
    }


def test_kernel_side_faults_have_the_error_code_of_the_access(recording: Recording) -> None:
    """A read of an absent page has error code 0, a write X86_PF_WRITE."""
    events = open_trace(recording.trace).scan("events").collect().iter_rows(named=True)
    faults = [event for event in events if event["kind"] == Kind.KERNEL_FAULT]
    assert faults
    for event in faults:
        assert event["error_code"] == (2 if event["write"] else 0)


def test_callee_is_the_function_that_accessed_the_page(recording: Recording) -> None:
    for fault, row in _pairs(recording):
        if fault["side"] == "prog":
            assert row["callee"] is None
        else:
            word = "arenapoke_read" if fault["access"] == "read" else "arenapoke_write"
            assert row["callee"] == {"symbol": f"{word}{fault['size'] * 8}", "module": "arenapoke"}


def _differences(row: Row, report: Report) -> list[str]:
    """Return the differences between a kernel-side row and the kernel's report of it."""
    inner, outer = report.frames[0], report.frames[-1]
    pairs = {
        "page": (int(row["uaddr"], 16) // PAGE * PAGE, report.address),
        "access": (row["access"], report.access),
        "tag": (row["prog"]["tag"], outer.tag),
        "function": (row["function"], inner.function),
        "file": (PurePosixPath(row["source"]["file"]).name, inner.file),
        "line": (row["source"]["line"], inner.line),
        "text": (row["source"]["text"], inner.text),
        "tid": (row["task"]["tid"], report.tid),
    }
    return [
        f"{name}: {ours} != {theirs}" for name, (ours, theirs) in pairs.items() if ours != theirs
    ]


def test_kernel_side_rows_equal_the_kernels_reports(
    recording: Recording, figures: Callable[[str], None]
) -> None:
    rows = _by_thread(row for row in recording.faults() if row["side"] == "kernel")
    reported: dict[tuple[int, int], list[Report]] = defaultdict(list)
    for prog_id, reports in recording.reports.items():
        for report in reports:
            if report.side == "kernel":
                reported[prog_id, report.tid].append(report)
    seen = sum(map(len, rows.values()))
    wanted = sum(map(len, reported.values()))
    figures(f"{recording.mode}: kernel-side: kernel's text {wanted}, faults --json {seen}")
    assert seen == wanted > 0
    assert rows.keys() == reported.keys()
    for key, group in rows.items():
        for row, report in zip(group, reported[key], strict=True):
            assert not _differences(row, report)


_OF_PAGES = ("allocs", "allocs_refused", "frees", "reserves", "reserves_refused")


def test_totals_equal_the_workload(recordings: dict[str, Recording]) -> None:
    # "old" and "lossy" miss events on purpose; see test_causes.py
    complete = [one for one in recordings.values() if one.mode not in ("old", "lossy")]
    assert len(complete) == len(recordings) - 2
    for recording in complete:
        totals, truth = recording.summary()["totals"], recording.truth["totals"]
        faults = recording.truth["faults"]
        frees = truth["free"]["ok"] + truth["free-deferred"]["ok"]
        mapped = truth["user-map"]["ok"] + truth["user-share"]["ok"]
        expected = {
            "prog_faults": sum(fault["side"] == "prog" for fault in faults),
            "allocs": truth["alloc"]["ok"],
            "allocs_refused": truth["alloc"]["failed"],
            "frees": frees,
            "reserves": truth["reserve"]["ok"],
            "reserves_refused": truth["reserve"]["failed"],
            "user_faults": mapped + truth["user-segv"]["ok"],
            "user_sigsegv": truth["user-segv"]["ok"],
            "oopses": 0,
            "lost": 0,
        }
        if recording.level == "faults":
            # not recorded at that level
            expected |= dict.fromkeys(_OF_PAGES, 0)
        assert {name: totals[name] for name in expected} == expected


def test_allocations_and_frees_over_scratch_pages_equal_the_workload(
    recordings: dict[str, Recording],
) -> None:
    recording = recordings["all"]
    scratched: set[tuple[int, int]] = set()
    over = Counter[str]()
    pages = Counter[str]()
    events = open_trace(recording.trace).scan("events").sort("ts_ns", "seq").collect()
    for event in events.iter_rows(named=True):
        kind = Kind(event["kind"])
        if kind is Kind.KERNEL_FAULT and event["pgoff"] is not None:
            scratched.add((event["arena"], event["pgoff"]))
        if kind is Kind.PAGE_ALLOC and event["ret"]:
            what = "alloc"
        elif kind is Kind.PAGE_FREE and event["sleepable"]:
            what = "free"
        else:
            continue
        first = event["pgoff"]
        touched = {(event["arena"], page) for page in range(first, first + event["pages"])}
        hit = touched & scratched
        over[what] += bool(hit)
        pages[what] += len(hit)
        scratched -= hit
    for what in ("alloc", "free"):
        truth = recording.truth["totals"][what]
        assert (over[what], pages[what]) == (truth["over_scratch"], truth["scratch_pages"])


def test_two_cpus_at_once_miss_no_fault(
    recordings: dict[str, Recording], figures: Callable[[str], None]
) -> None:
    recording = recordings["both-cpus"]
    apart = [fault for fault in recording.truth["faults"] if fault["race"] is None]
    racing = [fault for fault in recording.truth["faults"] if fault["race"] is not None]
    rows = recording.faults()
    reports = [report for reports in recording.reports.values() for report in reports]
    figures(f"both-cpus: kernel's text {len(reports)}, faults --json {len(rows)}")
    assert len(rows) == len(reports)
    assert {fault["cpu"] for fault in apart} == {0, 1}
    programs_apart = {fault["program_id"] for fault in apart}

    own = Counter(row["kaddr"] for row in rows if row["prog"]["id"] in programs_apart)
    assert own == Counter(fault["kaddr"] for fault in apart)

    raced = [row for row in rows if row["prog"]["id"] not in programs_apart]
    assert all(row["outcome"] in _RECOVERED for row in raced)
    assert all(row["callee"] for row in rows)
    installed = Counter(row["page"] for row in raced if row["outcome"] == "scratch-installed")
    # any number of CPUs faulted, one of them installed the scratch page
    assert installed == Counter({fault["page"] for fault in racing})


def test_clean_run_has_no_faults(recordings: dict[str, Recording]) -> None:
    recording = recordings["clean"]
    assert recording.faults() == []
    assert recording.summary()["programs"]
    assert "nothing lost" in recording.log


def test_doctor_finds_this_kernel_complete(recordings: dict[str, Recording]) -> None:
    found = json.loads((recordings["all"].trace.parent / "doctor.json").read_text())
    assert found["can_record"]
    assert found["profile"] == "scratch-replace"
    assert [point["point"] for point in found["points"] if not point["present"]] == []
    assert recordings["all"].summary()["trace"]["profile"] == "scratch-replace"
