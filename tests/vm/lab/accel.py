"""Find out whether guests can use KVM, by booting one.

A /dev/kvm that opens is no proof: in some virtual machines it opens, and guests then hang or
die on the first unusual instruction.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.vm.lab.boot import boot
from tests.vm.lab.errors import VmLost
from tests.vm.lab.images.cache import Cache, key_of
from tests.vm.lab.images.image import Image
from tests.vm.lab.job import Job, write_disk
from tests.vm.lab.machine import QEMU, Accel, Machine, RunFiles
from tests.vm.lab.rundir import run_directory

DEVICE = Path("/dev/kvm")
PROBE_SECONDS = 20.0


def choose_accel(cache: Cache, image: Image) -> Accel:
    """Return "kvm" if a guest boots with it, else "tcg".

    The result of the trial boot is cached until the host reboots.
    """
    if not os.access(DEVICE, os.R_OK | os.W_OK):
        return "tcg"
    known = cache.root / f"accel-{key_of(_boot_id(), _qemu_version())}"
    if known.exists():
        return "kvm" if known.read_text() == "kvm" else "tcg"
    found = _probe(cache, image)
    for old in cache.root.glob("accel-*"):
        old.unlink(missing_ok=True)
    fresh = cache.root / f"{known.name}.{os.getpid()}"
    fresh.write_text(found)
    fresh.rename(known)
    return found


def _probe(cache: Cache, image: Image) -> Accel:
    with run_directory(cache) as directory:
        run = RunFiles(directory)
        write_disk(Job(command="true", disk_mib=16), run.disk, directory / "job")
        try:
            outcome = boot(Machine(), image, run, "kvm", timeout=PROBE_SECONDS)
        except VmLost:
            return "tcg"
    return "kvm" if outcome.returncode == 0 else "tcg"


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text()


def _qemu_version() -> str:
    done = subprocess.run([QEMU, "--version"], capture_output=True, text=True, check=False)
    return done.stdout
