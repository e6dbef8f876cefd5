"""The lab: run commands in guests, each in a fresh boot."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.paths import ROOT
from tests.vm.lab.accel import choose_accel
from tests.vm.lab.boot import Echo, boot
from tests.vm.lab.errors import VmLost
from tests.vm.lab.images.cache import Cache, cache_root
from tests.vm.lab.images.image import Image, ensure_image
from tests.vm.lab.images.namespace import DIE_WITH_PARENT
from tests.vm.lab.images.prepare import prepare
from tests.vm.lab.images.project import project_site
from tests.vm.lab.images.rootfs import base_layer
from tests.vm.lab.job import Job, command_line, read_results, repair, write_disk
from tests.vm.lab.machine import Accel, Machine, RunFiles, qemu_command
from tests.vm.lab.rundir import run_directory
from tests.vm.lab.usage import Usage

CHECKOUT = ROOT
WORKLOAD = CHECKOUT / "tests" / "vm" / "workloads" / "faults"
TIMEOUT = 600.0  # seconds
# About one emulated boot in ten dies while the kernel patches its own code, before the command
# begins. A guest that died later is booted again only if its oops proves an emulator bug.
BOOT_ATTEMPTS = 3
PLAIN = Machine()


@dataclass(frozen=True)
class VmResult:
    """Result of a command in the guest.

    Attributes:
        returncode: exit status.
        stdout: text; bytes that are not UTF-8 appear as escapes.
        stderr: text, likewise.
        out_dir: contents of $LAB_OUT, byte for byte.
        seconds: wall time of the guest from boot to power-off.
        console: output of the serial console.
    """

    returncode: int
    stdout: str
    stderr: str
    out_dir: Path
    seconds: float
    console: str


class Lab:
    """Run commands in fresh guests.

    Args:
        results: parent of the directories with the results of each run.
        machine: shape of the guests.
        with_project: put the project of this checkout into the guests.
        cache: the built layers; by default the cache of `cache_root()`.

    Attributes:
        lost_guests: for each guest that was booted again, the reason.
        usage: boots so far, with their wall and CPU time.

    Raises:
        KernelUnavailable: no package of the machine's kernel is available.
        BuildError: the guest could not be built.
    """

    def __init__(
        self,
        results: Path,
        *,
        machine: Machine = PLAIN,
        with_project: bool = True,
        cache: Cache | None = None,
    ) -> None:
        self.results = results
        self.machine = machine
        self.with_project = with_project
        self.cache = cache or Cache(cache_root())
        self.lost_guests: list[str] = []
        self.usage = Usage()
        self._images: dict[str, Image] = {}
        self.image = self.image_of(machine.kernel)
        self._numbers = itertools.count(1)

    def image_of(self, kernel: str) -> Image:
        """Return the guest with a kernel (see Machine); build it if needed.

        Raises:
            KernelUnavailable: no package of that kernel is available.
            BuildError: the guest could not be built.
        """
        if kernel not in self._images:
            self._images[kernel] = ensure_image(self.cache, CHECKOUT, kernel)
        return self._images[kernel]

    def accel(self, machine: Machine) -> Accel:
        """Return the accelerator for guests of this shape."""
        return "tcg" if machine.icount else choose_accel(self.cache, self.image)

    def run(
        self,
        cmd: str | Sequence[str],
        *,
        files: Sequence[Path] = (),
        timeout: float = TIMEOUT,
        smp: int | None = None,
        memory_mib: int | None = None,
        append: str = "",
        icount: bool | None = None,
        kernel: str | None = None,
        out_dir: Path | None = None,
        echo: Echo | None = None,
        keep_disk: bool = False,
    ) -> VmResult:
        """Boot a guest, run one command in it, and return its results.

        In the guest the command runs as root in /job with `arenatrace` on its PATH,
        $LAB_FILES, $LAB_WORKLOAD and $LAB_OUT set, and stdin empty.

        Args:
            cmd: a bash command line, or a list of words taken literally.
            files: host files or directories that appear in $LAB_FILES.
            timeout: limit in seconds of wall time, boot to power-off.
            smp: number of CPUs; by default the lab's.
            memory_mib: memory in MiB; by default the lab's.
            append: additional arguments of the kernel command line.
            icount: guest time counts instructions (see Machine).
            kernel: prefix of the kernel's version; by default the lab's.
            out_dir: directory for the results; by default a new one below `results`.
            echo: receives output while the command runs.
            keep_disk: copy $LAB_OUT also from a guest that crashed, into `VmLost.out_dir`.

        Raises:
            KernelUnavailable: no package of that kernel is available.
            VmLost: the guest ended without an exit status.
            LabError: the job disk could not be written or read.
        """
        machine = replace(
            self.machine,
            smp=smp or self.machine.smp,
            memory_mib=memory_mib or self.machine.memory_mib,
            append=f"{self.machine.append} {append}".strip(),
            icount=self.machine.icount if icount is None else icount,
            kernel=self.machine.kernel if kernel is None else kernel,
        )
        image = self.image_of(machine.kernel)
        target = out_dir or self.results / f"run-{next(self._numbers)}"
        accel = self.accel(machine)
        for attempt in range(1, BOOT_ATTEMPTS + 1):
            with run_directory(self.cache) as directory:
                run = RunFiles(directory)
                self._write_disk(command_line(cmd), files, run, journal=keep_disk)
                try:
                    with self.usage.boot():
                        outcome = boot(machine, image, run, accel, timeout=timeout, echo=echo)
                except VmLost as lost:
                    died = "early" if lost.early else "of the emulator" if lost.emulator else ""
                    if keep_disk and not died:
                        repair(run.disk)
                        read_results(run.disk, target)
                        lost.out_dir = target
                    if not died or attempt == BOOT_ATTEMPTS:
                        raise
                    self.lost_guests.append(f"the guest died {died}: {lost.reason}")
                    print(f"lab: booting again, {self.lost_guests[-1]}", file=sys.stderr)
                    continue
                read_results(run.disk, target)
            break
        return VmResult(
            returncode=outcome.returncode,
            stdout=outcome.stdout,
            stderr=outcome.stderr,
            out_dir=target,
            seconds=outcome.seconds,
            console=outcome.console,
        )

    def prepare(self, source: Path, cmd: str, *, kernel: str | None = None) -> Path:
        """Build a directory with the guest's tools at the host's speed; see `prepare.py`.

        Args:
            source: directory; the command runs in a copy.
            cmd: bash command line, run in the copy.
            kernel: prefix of the kernel's version; by default the lab's.

        Returns:
            The built copy, named like the source, for `files`.

        Raises:
            KernelUnavailable: no package of that kernel is available.
            BuildError: the command failed.
        """
        image = self.image if kernel is None else self.image_of(kernel)
        return prepare(self.cache, source, cmd, image.release, image.tree)

    def shell(self, *, files: Sequence[Path] = (), out_dir: Path | None = None) -> int:
        """Boot a guest with a shell on this terminal; returns QEMU's exit status."""
        with run_directory(self.cache) as directory:
            run = RunFiles(directory)
            self._write_disk(None, files, run)
            accel = self.accel(self.machine)
            command = qemu_command(self.machine, self.image, run, accel, interactive=True)
            status = subprocess.run([*DIE_WITH_PARENT, *command], check=False).returncode
            if out_dir is not None:
                read_results(run.disk, out_dir)
        return status

    def _write_disk(
        self,
        command: str | None,
        files: Sequence[Path],
        run: RunFiles,
        *,
        journal: bool = False,
    ) -> None:
        site = None
        if self.with_project:
            site = project_site(self.cache, CHECKOUT, base_layer(self.cache))
        job = Job(
            command=command, site=site, workload=WORKLOAD, files=tuple(files), journal=journal
        )
        write_disk(job, run.disk, run.directory / "job")
