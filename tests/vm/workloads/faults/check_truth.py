"""Compare the ground truth of a workload run with the kernel's own reports.

The kernel writes every arena fault into the stderr stream of the program it blames. This
reads that text without any code of the toolkit, so that it can stand as an oracle next to it.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PAGE = 4096
HEADER = re.compile(r"ERROR: Arena (READ|WRITE) access at unmapped address 0x([0-9a-f]+)$")
TASK = re.compile(r"CPU: (\d+) UID: (\d+) PID: (\d+) Comm: (.*)$")
BPF_FRAME = re.compile(r"bpf_prog_([0-9a-f]{16})_(\w+)\+0x[0-9a-f]+/0x[0-9a-f]+$")
SOURCE = re.compile(r"  (.*) @ (\S+):(\d+)$")
STREAM_FILE = re.compile(r"(\w+)-(\d+)\.stderr\.txt$")


@dataclass
class Frame:
    """A BPF frame of a report, with the source line the kernel found for it."""

    tag: str
    function: str
    text: str = ""
    file: str = ""
    line: int = 0


@dataclass
class Report:
    """One fault in the kernel's report."""

    access: str
    address: int
    cpu: int = -1
    tid: int = -1
    side: str = ""
    frames: list[Frame] = field(default_factory=list)


def parse_stream(text: str) -> list[Report]:
    """Read all reports of a stream; an unknown line is an error."""
    reports: list[Report] = []
    in_report = False
    for number, line in enumerate(text.splitlines(), 1):
        if header := HEADER.match(line):
            if in_report:
                raise ValueError(f"line {number}: a report begins inside another")
            reports.append(Report(header[1].lower(), int(header[2], 16)))
            in_report = True
        elif not in_report:
            raise ValueError(f"line {number}: outside of any report: {line!r}")
        elif not line:
            in_report = False
        else:
            add_line(reports[-1], line, number)
    if in_report:
        raise ValueError("the last report is cut off")
    return reports


def add_line(report: Report, line: str, number: int) -> None:
    """Add a line after the header to its report."""
    if source := SOURCE.match(line):
        if not report.frames or report.frames[-1].line:
            raise ValueError(f"line {number}: a source line without a frame")
        frame = report.frames[-1]
        frame.text, frame.file, frame.line = source[1], source[2], int(source[3])
    elif task := TASK.match(line):
        report.cpu, report.tid = int(task[1]), int(task[3])
    elif frame_match := BPF_FRAME.match(line):
        report.frames.append(Frame(frame_match[1], frame_match[2]))
    elif line.startswith("bpf_arena_handle_page_fault+"):
        report.side = "kernel"
    elif line.startswith("ex_handler_bpf+"):
        report.side = "prog"


def expected_address(fault: dict[str, Any]) -> int:
    """Return the address the kernel prints: exact only for the program's own accesses."""
    address = int(fault["uaddr"], 16)
    return address if fault["side"] == "prog" else address - address % PAGE


def differences(fault: dict[str, Any], report: Report) -> list[str]:
    """Compare one expected fault with its report."""
    inner = report.frames[0] if report.frames else Frame("", "")
    outer = report.frames[-1] if report.frames else Frame("", "")
    pairs: dict[str, tuple[object, object]] = {
        "side": (fault["side"], report.side),
        "access": (fault["access"], report.access),
        "address": (hex(expected_address(fault)), hex(report.address)),
        "function": (fault["function"], inner.function),
        "file": (fault["file"], inner.file),
        "line": (fault["stream_line"], inner.line),
        "program": (fault["program"], outer.function),
        "tag": (fault["tag"], outer.tag),
        "tid": (fault["tid"], report.tid),
    }
    if fault["pinned"]:
        pairs["cpu"] = (fault["cpu"], report.cpu)
    return [
        f"seq {fault['seq']} ({fault['kind']}): {name}: truth {truth}, kernel {kernel}"
        for name, (truth, kernel) in pairs.items()
        if truth != kernel
    ]


def check_races(faults: list[dict[str, Any]], reports: list[Report]) -> list[str]:
    """Check pages touched by two CPUs at once: each gives one report or one for each access."""
    problems: list[str] = []
    left = list(reports)
    by_race: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for fault in faults:
        by_race[fault["race"]].append(fault)
    for race, accesses in by_race.items():
        found = 0
        for fault in accesses:
            matching = [report for report in left if not differences(fault, report)]
            if len(matching) > 1:
                problems.append(f"race {race}: an access is reported {len(matching)} times")
            found += bool(matching)
            left = [report for report in left if report not in matching]
        if not found:
            problems.append(f"race {race}: no report")
    problems += [f"a report of no access: {report}" for report in left]
    return problems


def check_program(faults: list[dict[str, Any]], reports: list[Report]) -> list[str]:
    """Compare all faults of one program with its stream; only a thread's own order is known."""
    certain = [fault for fault in faults if fault["race"] is None]
    racing = [fault for fault in faults if fault["race"] is not None]
    if racing:
        if certain:
            raise ValueError("races and other faults in one program cannot be told apart")
        return check_races(racing, reports)
    problems: list[str] = []
    for side in ("kernel", "prog"):
        wanted = sum(fault["side"] == side for fault in certain)
        got = sum(report.side == side for report in reports)
        if wanted != got:
            problems.append(f"{wanted} {side}-side faults in the truth, {got} from the kernel")
    for tid in {fault["tid"] for fault in certain} | {report.tid for report in reports}:
        mine = [fault for fault in certain if fault["tid"] == tid]
        told = [report for report in reports if report.tid == tid]
        if len(mine) != len(told):
            problems.append(f"thread {tid}: {len(mine)} faults, {len(told)} reports")
        for fault, report in zip(mine, told, strict=False):
            problems += differences(fault, report)
    return problems


def check(truth: dict[str, Any], streams: Path) -> tuple[list[str], int]:
    """Compare a truth with a directory of streams; returns the problems and the reports seen."""
    files: dict[int, list[Report]] = {}
    for path in sorted(streams.iterdir()):
        if not (name := STREAM_FILE.match(path.name)):
            raise ValueError(f"{path}: not the name of a stream file")
        files[int(name[2])] = parse_stream(path.read_text(encoding="utf-8"))
    ids = {program["id"] for program in truth["programs"]}
    # The helper programs access nothing; their streams are not saved.
    ids -= {program["id"] for program in truth["programs"] if program["name"].endswith("_defer")}
    problems = [f"program {missing}: no stream file" for missing in ids - files.keys()]
    problems += [f"program {extra}: not in the truth" for extra in files.keys() - ids]
    for program in ids & files.keys():
        faults = [fault for fault in truth["faults"] if fault["program_id"] == program]
        problems += [f"program {program}: {p}" for p in check_program(faults, files[program])]
    return problems, sum(map(len, files.values()))


def main() -> int:
    """Print every difference; return 1 if there was any."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("truth", type=Path, help="file from wl --truth")
    parser.add_argument("streams", type=Path, help="directory from wl --streams")
    arguments = parser.parse_args()
    truth: dict[str, Any] = json.loads(arguments.truth.read_text(encoding="utf-8"))
    problems, reports = check(truth, arguments.streams)
    for problem in problems:
        print(problem)
    print(
        f"{truth['mode']}: {len(truth['faults'])} faults in the truth, "
        f"{reports} reports, {len(problems)} differences"
    )
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
