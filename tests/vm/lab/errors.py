"""Errors of the lab itself, as opposed to a command that failed in the guest."""

from __future__ import annotations

from pathlib import Path


class LabError(Exception):
    """The lab failed; the message names the part and the reason."""


class BuildError(LabError):
    """A layer of the guest, or the project's wheel, could not be built."""


class KernelUnavailable(BuildError):  # noqa: N818 - a finding, not an error
    """No package of the requested kernel is available; the message gives the reason."""


class VmLost(LabError):  # noqa: N818 - the name states what happened, as in drgn's vmtest
    """The guest ended without reporting an exit status: panic, dead QEMU or timeout.

    Attributes:
        reason: one line.
        console: everything the guest's serial console showed.
        stdout: the command's stdout up to then.
        stderr: the command's stderr up to then.
        early: the guest died before the command began.
        emulator: an emulator bug killed the guest, see `stale_code.py`.
        out_dir: contents of $LAB_OUT, if `keep_disk` was asked for.
    """

    TAIL_LINES = 40

    def __init__(
        self,
        reason: str,
        *,
        console: str,
        stdout: str,
        stderr: str,
        early: bool = False,
        emulator: bool = False,
    ) -> None:
        self.early = early
        self.emulator = emulator
        self.out_dir: Path | None = None
        self.reason = reason
        self.console = console
        self.stdout = stdout
        self.stderr = stderr
        tail = "\n".join(console.splitlines()[-self.TAIL_LINES :])
        shown = f"; the console ended with:\n{tail}" if tail else "; the console stayed empty"
        super().__init__(f"the VM was lost: {reason}{shown}")
