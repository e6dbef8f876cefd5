"""Boot that several test files share: one for each kernel, one for the command line.

A boot of the emulated guest and the imports of its first command take half a minute, so tests
that can run one after the other in one guest do.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tests.paths import ROOT
from tests.vm.lab.lab import WORKLOAD, Lab, VmResult
from tests.vm.lab.skipping import need_kernel
from tests.vm.recordings import require_success

WORKLOADS = Path(__file__).parent / "workloads"

#: Seed and number of the random operations that are recorded at level ``pages``.
SEED = int(os.environ.get("ARENATRACE_VM_SEED") or "1")
RANDOM_OPERATIONS = 25_000

_TIMEOUT = 1200.0  # seconds; compiling the probes takes most of it
_TERMINAL = ROOT / "tests" / "tui" / "terminal.py"
_JOBS = Path(__file__).parent / "guest_jobs"
_SCRIPTS = ("kernel.sh", "record-random-ops.sh", "kernel-features.sh")
_BUILD = "make BUILD=/job/build KVER=$LAB_KERNEL"
_BUILD_MODULE = "make module BUILD=/job/build KVER=$LAB_KERNEL"


class BootFixture(StrEnum):
    """Fixtures that boot a guest; tests with the same one run in the same worker.

    In order of how long they take, longest first.
    """

    RECORDINGS = "recordings"
    COMMANDS = "commands"
    KERNEL = "kernel_run"
    CRASHES = "crashes"
    STORMS = "storms"
    LAB = "lab"


@dataclass(frozen=True)
class KernelRun:
    """Results of one kernel's boot.

    Attributes:
        kernel: version prefix that was asked for.
        result: output and files of the guest.
    """

    kernel: str
    result: VmResult

    @property
    def out(self) -> Path:
        """The directory that the guest wrote to."""
        return self.result.out_dir


def boot_kernel(lab: Lab, kernel: str) -> KernelRun:
    """Boot a kernel and run all of its recordings; skip the test if there is no such kernel."""
    need_kernel(lab, kernel)
    module = lab.prepare(WORKLOAD, _BUILD_MODULE, kernel=kernel)
    random_ops = lab.prepare(WORKLOADS / "random_ops", _BUILD, kernel=kernel)
    oops = lab.prepare(WORKLOADS / "oops", _BUILD, kernel=kernel)
    scheduler = lab.prepare(WORKLOADS / "scx", _BUILD, kernel=kernel)
    words = [
        f"files/{module.name}/build/arenapoke.ko",
        f"files/{random_ops.name}/build/random_ops",
        f"files/{oops.name}/build",
        f"files/{scheduler.name}/build/arena_sched.bpf.o",
        f"--seed {SEED} --count {RANDOM_OPERATIONS} --bad-nodes",
    ]
    scripts = [_JOBS / name for name in _SCRIPTS]
    result = lab.run(
        f"bash files/kernel.sh {' '.join(words)}",
        files=[module, random_ops, oops, scheduler, *scripts],
        kernel=kernel,
        timeout=_TIMEOUT,
    )
    require_success(result)
    return KernelRun(kernel, result)


@dataclass(frozen=True)
class CommandsRun:
    """Results of the boot in which commands are run as a user would.

    Attributes:
        result: output and files of the guest.
    """

    result: VmResult

    def out(self, part: str) -> Path:
        """Return the directory of one part: ``refusals``, ``capture`` or ``tui``.

        Raises:
            AssertionError: the part failed; the message has the guest's output.
        """
        status = (self.result.out_dir / f"{part}.rc").read_text()
        result = self.result
        assert status == "0\n", f"{part}: {status}{result.stdout}\n{result.stderr}"
        return result.out_dir / part


def boot_commands(lab: Lab) -> CommandsRun:
    """Boot once and run the refusals, the capture features and the terminal interface."""
    built = lab.prepare(WORKLOAD, _BUILD)
    names = ("commands.sh", "refuse.sh", "capture-features.sh", "drive_tui.py")
    result = lab.run(
        f"bash files/commands.sh files/{built.name}/build",
        files=[built, _TERMINAL, *(_JOBS / name for name in names)],
        timeout=1800,
    )
    require_success(result)
    return CommandsRun(result)
