"""Process time of a cold ``arenatrace summary`` of a small trace, by import step.

    python -m bench.startup_bench [TRACE]

Measured against: an empty Python process.

Each step is a process that also does all steps before it; the least user and system time of
``ROUNDS`` processes counts, in turns. The cost of a step is the difference from the step before.
The last step is the command itself, by default on a sample trace.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

ROUNDS = 10
_ROOT = Path(__file__).resolve().parents[1]
_STEPS = (
    ("Python", "pass"),
    ("click, the command line", "import arenatrace.cli.app"),
    ("numpy", "import numpy"),
    ("polars", "import polars"),
    ("the analysis", "import arenatrace.analysis.summary.one_trace"),
    ("rich, the report", "import arenatrace.report.screen, arenatrace.report.summary_text"),
)


def _process_time(command: list[str]) -> float:
    """User and system time of ``command`` in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=False, cwd=_ROOT, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> None:
    """Print what each step adds."""
    samples = _ROOT / "sample_traces" / "two-programs.atrace"
    trace = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else samples
    commands = []
    done: list[str] = []
    for name, code in _STEPS:
        done.append(code)
        commands.append((name, [sys.executable, "-c", "\n".join(done)]))
    whole = [sys.executable, "-m", "arenatrace.cli", "summary", str(trace)]
    commands.append(("the summary itself", whole))
    best = {name: float("inf") for name, _ in commands}
    for _ in range(ROUNDS):
        for name, command in commands:
            best[name] = min(best[name], _process_time(command))
    before = 0.0
    for name, took in best.items():
        print(f"{name:<24} {took - before:6.3f} s")
        before = took
    print(f"{'together':<24} {before:6.3f} s of process time")


if __name__ == "__main__":
    main()
