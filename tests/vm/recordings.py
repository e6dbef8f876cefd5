"""Recordings of the fault workload in the lab, each beside two independent accounts of it.

The ground truth is what the workload says it did; the reports are what the kernel wrote into
the programs' streams, read with a parser that shares no code with the toolkit.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arenatrace.schema import Level
from tests.vm.lab.lab import WORKLOAD, Lab, VmResult
from tests.vm.workloads.faults.check_truth import STREAM_FILE, Report, parse_stream

#: Everything the guest records in one boot, modes of the workload: at level ``pages``, and
#: those that fault in every way at each other level.
MODES = (
    *("all", "unload-after-fault", "both-cpus", "clean", "races", "old", "lossy"),
    *(f"all+races@{level}" for level in Level if level != Level.PAGES),
)

TIMEOUT = 1500.0  # seconds; each recording compiles the probes anew
JOB = Path(__file__).parent / "guest_jobs" / "record-workload.sh"
BUILD = "make BUILD=/job/build KVER=$LAB_KERNEL"


@dataclass(frozen=True)
class Recording:
    """One mode of the workload: the trace, the truth, the kernel's reports by program id."""

    mode: str
    trace: Path
    truth: dict[str, Any]
    reports: dict[int, list[Report]]
    log: str

    @property
    def level(self) -> str:
        """The capture level."""
        return self.mode.partition("@")[2] or "pages"

    def faults(self) -> list[dict[str, Any]]:
        """Rows of ``arenatrace faults --json``."""
        return [
            json.loads(line) for line in arenatrace("faults", self.trace, "--json").splitlines()
        ]

    def summary(self) -> dict[str, Any]:
        """The object of ``arenatrace summary --json``."""
        summary: dict[str, Any] = json.loads(arenatrace("summary", self.trace, "--json"))
        return summary


def arenatrace(*words: str | Path) -> str:
    """Standard output of an arenatrace command; CalledProcessError unless it exits 0 or 1."""
    status, said = status_of(*words)
    if status not in (0, 1):
        raise subprocess.CalledProcessError(status, ["arenatrace", *map(str, words)], said)
    return said


def status_of(*words: str | Path) -> tuple[int, str]:
    """Exit status and standard output of an arenatrace command."""
    command = [sys.executable, "-m", "arenatrace.cli", *map(str, words)]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    return result.returncode, result.stdout


def require_success(result: VmResult) -> None:
    """Fail with the guest's output unless its command exited with status 0."""
    console = result.console[-3000:]
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr}\n{console}"


def record_modes(lab: Lab, modes: tuple[str, ...]) -> dict[str, Recording]:
    """Record the workload's modes in one boot of the lab."""
    built = lab.prepare(WORKLOAD, BUILD)
    words = " ".join(modes)
    job = f"sh files/{JOB.name} files/{built.name}/build {words}"
    result = lab.run(job, files=[built, JOB], timeout=TIMEOUT)
    require_success(result)
    return {mode: read_recording(result.out_dir, mode) for mode in modes}


def read_recording(directory: Path, mode: str) -> Recording:
    """What the guest left of one mode."""
    reports: dict[int, list[Report]] = {}
    for path in sorted((directory / f"{mode}.streams").glob("*")):
        name = STREAM_FILE.match(path.name)
        assert name, f"{path}: not the name of a stream file"
        reports[int(name[2])] = parse_stream(path.read_text(encoding="utf-8"))
    return Recording(
        mode,
        directory / f"{mode}.atrace",
        json.loads((directory / f"{mode}.json").read_text(encoding="utf-8")),
        reports,
        (directory / f"{mode}.log").read_text(encoding="utf-8"),
    )
