"""Boot one guest, follows it to its end, and says how it ended."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.vm.lab.errors import VmLost
from tests.vm.lab.images.image import Image
from tests.vm.lab.images.namespace import DIE_WITH_PARENT
from tests.vm.lab.machine import PORTS, Accel, Machine, RunFiles, qemu_command
from tests.vm.lab.stale_code import ran_stale_breakpoint

POLL = 0.05  # seconds
EXIT = re.compile(r"^exit (\d+)$", re.MULTILINE)
PANIC = re.compile(r"Kernel panic - not syncing: .*")

Echo = Callable[[str, bytes], None]
"""Called with a port's name ("stdout", "stderr") and the bytes that arrived on it."""


@dataclass(frozen=True)
class Outcome:
    """End of a guest that reported an exit status.

    Attributes:
        returncode: exit status of the command.
        seconds: wall time from starting QEMU to its end.
    """

    returncode: int
    stdout: str
    stderr: str
    console: str
    seconds: float


class _Tail:
    """Copies data appended to a growing file to an output."""

    def __init__(self, name: str, path: Path, echo: Echo) -> None:
        path.touch()
        self._name = name
        self._echo = echo
        self._file: IO[bytes] = path.open("rb")

    def look(self) -> None:
        if data := self._file.read():
            self._echo(self._name, data)

    def close(self) -> None:
        self._file.close()


def boot(
    machine: Machine,
    image: Image,
    run: RunFiles,
    accel: Accel,
    *,
    timeout: float,
    echo: Echo | None = None,
) -> Outcome:
    """Boot a guest whose job disk is ready and waits for it to power off.

    Args:
        machine: shape of the guest.
        image: root disk and kernel.
        run: files of this run; the job disk must exist.
        accel: "kvm" or "tcg".
        timeout: seconds of wall time the guest may take in all.
        echo: receives the command's output while it runs.

    Raises:
        VmLost: the guest panicked, QEMU died, or the timeout passed.
    """
    tails = [_Tail(name, run.port(name), echo) for name in ("stdout", "stderr") if echo]
    began = time.monotonic()
    errors = run.directory / "qemu-errors"
    try:
        with errors.open("wb") as sink, _start(machine, image, run, accel, sink) as qemu:
            try:
                in_time = _follow(qemu, tails, began + timeout)
            finally:
                qemu.kill()
        for tail in tails:
            tail.look()
    finally:
        for tail in tails:
            tail.close()
    seconds = time.monotonic() - began
    output = {name: _text(run.port(name)) for name in PORTS}
    console = _text(run.console).replace("\r\n", "\n")
    exit_status = EXIT.search(output["status"])
    if exit_status is None:
        reason = _reason(console, _text(errors), qemu.returncode, None if in_time else timeout)
        raise VmLost(
            reason,
            console=console,
            stdout=output["stdout"],
            stderr=output["stderr"],
            early=in_time and "booted" not in output["status"],
            emulator=accel == "tcg" and ran_stale_breakpoint(console),
        )
    return Outcome(int(exit_status.group(1)), output["stdout"], output["stderr"], console, seconds)


def _start(
    machine: Machine, image: Image, run: RunFiles, accel: Accel, sink: IO[bytes]
) -> subprocess.Popen[bytes]:
    command = qemu_command(machine, image, run, accel)
    return subprocess.Popen(
        [*DIE_WITH_PARENT, *command],
        stdin=subprocess.DEVNULL,
        stdout=sink,
        stderr=sink,
    )


def _follow(qemu: subprocess.Popen[bytes], tails: list[_Tail], deadline: float) -> bool:
    """Return whether QEMU ended before the deadline."""
    while qemu.poll() is None:
        if time.monotonic() > deadline:
            return False
        for tail in tails:
            tail.look()
        time.sleep(POLL)
    return True


def _reason(console: str, errors: str, status: int, timeout: float | None) -> str:
    if panic := PANIC.search(console):
        return panic.group()
    if timeout is not None:
        return f"no end after {timeout:g} s"
    lines = errors.strip().splitlines()
    return f"QEMU ended with status {status}" + (f": {lines[-1]}" if lines else "")


def _text(path: Path) -> str:
    return path.read_bytes().decode(errors="backslashreplace") if path.exists() else ""
