"""Record docs/cases/*.atrace in the lab: ``make cases``.

docs/cases explains the four recordings: two workloads, each with its bug and fixed. Run
docs/generate_cases.py afterwards.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from tests.paths import ROOT
from tests.vm.lab.lab import WORKLOAD, Lab
from tests.vm.recordings import BUILD

CASES = ROOT / "docs" / "cases"
NAMES = ("sessions", "sessions-fixed", "queue", "queue-fixed")
PROGRAMS = Path(__file__).parents[1] / "workloads" / "cases"
JOB = Path(__file__).parents[1] / "guest_jobs" / "record-cases.sh"


def record_cases(lab: Lab, how: str) -> Path:
    """Run the job in one boot, ``apart`` or ``together``; return what it left."""
    faults = lab.prepare(WORKLOAD, BUILD)
    cases = lab.prepare(PROGRAMS, BUILD)
    job = f"sh files/{JOB.name} files/{faults.name}/build files/{cases.name}/build {how}"
    result = lab.run(job, files=[faults, cases, JOB], timeout=1200)
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr}\n{result.console[-3000:]}"
    return result.out_dir


def main() -> None:
    """Record, and copy the traces and sessions.out, the kernel's report of one case."""
    with tempfile.TemporaryDirectory() as directory:
        recorded = record_cases(Lab(Path(directory)), "apart")
        for name in NAMES:
            target = CASES / f"{name}.atrace"
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(recorded / f"{name}.atrace", target)
            for path in target.iterdir():
                path.chmod(0o644)
        shutil.copy(recorded / "sessions.out", CASES / "sessions.out")


if __name__ == "__main__":
    main()
