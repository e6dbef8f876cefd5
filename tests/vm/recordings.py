"""Recordings of the fault workload in the lab, each with two independent accounts.

The ground truth is written by the workload. The reports are written by the kernel into the
programs' streams, and read with a parser that shares no code with the toolkit.
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

#: Modes of the workload that are recorded in one boot: all at level ``pages``, and the modes with
#: every kind of fault at each other level.
MODES = (
    *("all", "unload-after-fault", "both-cpus", "clean", "races", "old", "lossy"),
    *(f"all+races@{level}" for level in Level if level != Level.PAGES),
)

TIMEOUT = 1500.0  # seconds; each recording compiles the probes
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
        """Capture level."""
        return self.mode.partition("@")[2] or "pages"

    def faults(self) -> list[dict[str, Any]]:
        """Return the rows of ``arenatrace faults --json``."""
        return [
            json.loads(line) for line in arenatrace("faults", self.trace, "--json").splitlines()
        ]

    def summary(self) -> dict[str, Any]:
        """Return the object of ``arenatrace summary --json``."""
        summary: dict[str, Any] = json.loads(arenatrace("summary", self.trace, "--json"))
        return summary


def arenatrace(*args: str | Path) -> str:
    """Return the stdout of a command.

    Raises:
        subprocess.CalledProcessError: the exit status is neither 0 nor 1.
    """
    status, stdout = status_of(*args)
    if status not in (0, 1):
        raise subprocess.CalledProcessError(status, ["arenatrace", *map(str, args)], stdout)
    return stdout


def status_of(*args: str | Path) -> tuple[int, str]:
    """Return exit status and stdout of a command."""
    command = [sys.executable, "-m", "arenatrace.cli", *map(str, args)]
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
    """Read the files of one mode."""
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
