"""Shape of the virtual machine, and its QEMU command."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.vm.lab.images.image import Image
from tests.vm.lab.images.kernel_image import release_version

Accel = Literal["kvm", "tcg"]
QEMU = "qemu-system-x86_64"
PORTS = ("stdout", "stderr", "status")
# Guest nanoseconds per instruction under icount: 2 ** 2.
ICOUNT = "shift=2,sleep=off"
# QEMU's emulation of cmpxchg16b can leave garbage in the flags, so that the branch after it
# goes wrong. Linux 6.12 uses it for every small allocation: three of four boots died of it.
# Linux 7 rarely does, and without it kmalloc_nolock(), and so any arena, has no memory. The
# CPU keeps it in any case: user space (NumPy) insists on it.
WITHOUT_CX16_BEFORE = (7,)


@dataclass(frozen=True)
class Machine:
    """The shape of a guest.

    Attributes:
        smp: number of CPUs.
        memory_mib: memory in MiB.
        append: additional arguments of the kernel command line.
        icount: make guest time a count of instructions (4 ns each), so that measurements
            repeat on a busy host. Implies TCG and one CPU.
        kernel: prefix of the kernel's version, such as "7.3" or "6.12"; by default the
            root file system's own kernel.
        hidden: CPU features that the emulated CPU does not report, such as "erms".
    """

    smp: int = 2
    memory_mib: int = 3072
    append: str = ""
    icount: bool = False
    kernel: str = ""
    hidden: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunFiles:
    """Files shared between one running guest and the host, in one directory."""

    directory: Path

    @property
    def disk(self) -> Path:
        """The job disk."""
        return self.directory / "job.img"

    @property
    def console(self) -> Path:
        """Output of the serial console."""
        return self.directory / "console"

    def port(self, name: str) -> Path:
        """Return the file with the output of the virtio-serial port `lab.NAME`."""
        return self.directory / f"port-{name}"


def qemu_command(
    machine: Machine, image: Image, run: RunFiles, accel: Accel, *, interactive: bool = False
) -> list[str]:
    """Return the QEMU command for one guest.

    The root disk is NVMe, because that driver and ext4 are built into the cloud
    kernel: no initrd is needed, which makes a boot three times faster under TCG.
    The job disk is virtio, whose module the guest loads, because the kernel names
    NVMe disks in the order its asynchronous probes end: with two of them the root
    was the wrong one in every other boot.
    """
    return [
        QEMU,
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-machine", "q35"),
        *_cpu(machine, accel),
        *("-m", str(machine.memory_mib)),
        *("-kernel", str(image.kernel)),
        *("-append", kernel_command_line(machine, image.release, interactive=interactive)),
        *("-drive", f"file={_escaped(image.disk)},if=none,id=root,format=raw,snapshot=on"),
        *("-device", "nvme,drive=root,serial=root"),
        *("-drive", f"file={_escaped(run.disk)},if=virtio,format=raw,cache=unsafe"),
        *("-device", "virtio-serial-pci"),
        *(word for name in PORTS for word in _port(name, run)),
        *("-serial", "mon:stdio" if interactive else f"file:{_escaped(run.console)}"),
    ]


def kernel_command_line(machine: Machine, release: str, *, interactive: bool) -> str:
    """Return the command line of the guest's kernel `release`; a panic ends the guest at once."""
    words = [
        "console=ttyS0",
        "root=/dev/nvme0n1",
        "rootwait",
        "rw",
        "quiet",
        "panic=-1",
        "init=/lab/init",
    ]
    if release_version(release) < WITHOUT_CX16_BEFORE:
        words.append("clearcpuid=cx16")
    if interactive:
        words += _terminal()
    return " ".join([*words, *machine.append.split()])


def _terminal() -> Sequence[str]:
    size = shutil.get_terminal_size()
    term = os.environ.get("TERM", "linux")
    return f"lab.term={term}", f"lab.rows={size.lines}", f"lab.columns={size.columns}"


def _cpu(machine: Machine, accel: Accel) -> list[str]:
    cpu = ",".join(["max", *(f"-{feature}" for feature in machine.hidden)])
    if machine.icount:
        # Instructions can only be counted by one thread that emulates one CPU.
        return ["-accel", "tcg,thread=single", "-cpu", cpu, "-smp", "1", "-icount", ICOUNT]
    if accel == "kvm":
        return ["-accel", "kvm", "-cpu", "host", "-smp", str(machine.smp)]
    return ["-accel", "tcg,thread=multi", "-cpu", cpu, "-smp", str(machine.smp)]


def _port(name: str, run: RunFiles) -> list[str]:
    return [
        *("-chardev", f"file,id={name},path={_escaped(run.port(name))}"),
        *("-device", f"virtserialport,chardev={name},name=lab.{name}"),
    ]


def _escaped(path: Path) -> str:
    """Return a path for a QEMU option list, where a comma is written twice."""
    return str(path).replace(",", ",,")
