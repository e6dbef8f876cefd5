"""Record sample_traces/ in the lab: ``make samples``.

The manifest's facts come from the workload's ground truth, never from the toolkit, so that
the test which holds the samples to their manifest compares two things.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from tests.vm.lab.lab import CHECKOUT, Lab
from tests.vm.recordings import Recording, record_modes

SAMPLES = CHECKOUT / "sample_traces"
#: Workload mode to the sample's name and what it shows.
WANTED = {
    "clean": ("clean", "two programs that allocate, use and free pages; no fault"),
    "one": ("one-program", "one program faults in every way there is, another makes no mistake"),
    "two": ("two-programs", "two programs, each with use-after-free and never-allocated pages"),
}


def digest(trace: Path) -> str:
    """SHA-256 over the names and contents of a trace's files, in order of name."""
    total = hashlib.sha256()
    for path in sorted(trace.iterdir()):
        content = path.read_bytes()
        total.update(f"{path.name} {len(content)}\n".encode() + content)
    return total.hexdigest()


def facts(truth: dict[str, Any]) -> list[str]:
    """The manifest's lines of facts for one ground truth."""
    faults = truth["faults"]
    totals = truth["totals"]
    numbers = {
        "faults": len(faults),
        "kernel_faults": sum(fault["side"] == "kernel" for fault in faults),
        "prog_faults": sum(fault["side"] == "prog" for fault in faults),
        "user_sigsegv": totals["user-segv"]["ok"],
        "allocs": totals["alloc"]["ok"],
        "allocs_refused": totals["alloc"]["failed"],
        "frees": totals["free"]["ok"] + totals["free-deferred"]["ok"],
        "lost": 0,
    }
    lines = [f"{name} = {number}" for name, number in numbers.items()]
    by_program = Counter(fault["program"] for fault in faults)
    pairs = ", ".join(f"{name} = {count}" for name, count in sorted(by_program.items()))
    lines.append(f"by_program = {{ {pairs} }}" if pairs else "by_program = {}")
    by_line = Counter(f"{fault['file']}:{fault['line']}" for fault in faults)
    pairs = ", ".join(f'"{line}" = {count}' for line, count in sorted(by_line.items()))
    lines.append(f"by_line = {{ {pairs} }}" if pairs else "by_line = {}")
    return lines


def entry(name: str, shows: str, recording: Recording) -> list[str]:
    """The manifest's section for one sample."""
    return [
        "",
        f"[{name}]",
        f'shows = "{shows}"',
        f'kernel = "{recording.truth["kernel"]}"',
        'workload = "tests/vm/workloads/faults"',
        f'command = "wl {recording.mode}"',
        f'sha256 = "{digest(SAMPLES / f"{name}.atrace")}"',
        "",
        f"[{name}.facts]",
        *facts(recording.truth),
    ]


def main() -> None:
    """Record, copy, write the manifest."""
    lines = [
        "# Where each sample comes from and what must be found in it. Written by make samples;",
        "# the facts are the workload's own account of what it did.",
    ]
    with tempfile.TemporaryDirectory() as directory:
        recordings = record_modes(Lab(Path(directory)), tuple(WANTED))
        for mode, (name, shows) in WANTED.items():
            target = SAMPLES / f"{name}.atrace"
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(recordings[mode].trace, target)
            for path in target.iterdir():
                path.chmod(0o644)
            lines += entry(name, shows, recordings[mode])
    (SAMPLES / "MANIFEST.toml").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
