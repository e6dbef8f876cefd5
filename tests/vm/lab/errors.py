"""What can go wrong in the lab, told apart from a command that merely failed."""

from __future__ import annotations

from pathlib import Path


class LabError(Exception):
    """The lab itself could not do its work; the message says which part and why."""


class BuildError(LabError):
    """A layer of the guest, or the project's wheel, could not be built."""


class KernelUnavailable(BuildError):  # noqa: N818 - it is the name of the finding
    """No package of the kernel that was asked for can be had; the message says why."""


class VmLost(LabError):  # noqa: N818 - the name says what happened, as in drgn's vmtest
    """The guest ended without reporting an exit status: panic, dead QEMU or timeout.

    Attributes:
        reason: one line.
        console: everything the guest's serial console showed.
        stdout: what the command had written to stdout by then.
        stderr: what the command had written to stderr by then.
        stillborn: it died by itself before the command began, so nothing was done.
        emulator: the emulator killed it, see `stale_code.py`; what the command did is void.
        out_dir: what was on its disk of $LAB_OUT, if that was asked for.
    """

    TAIL_LINES = 40

    def __init__(
        self,
        reason: str,
        *,
        console: str,
        stdout: str,
        stderr: str,
        stillborn: bool = False,
        emulator: bool = False,
    ) -> None:
        self.stillborn = stillborn
        self.emulator = emulator
        self.out_dir: Path | None = None
        self.reason = reason
        self.console = console
        self.stdout = stdout
        self.stderr = stderr
        tail = "\n".join(console.splitlines()[-self.TAIL_LINES :])
        shown = f"; the console ended with:\n{tail}" if tail else "; the console stayed empty"
        super().__init__(f"the VM was lost: {reason}{shown}")
