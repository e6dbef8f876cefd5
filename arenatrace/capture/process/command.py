"""The recorded command, and how it is ended."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from pathlib import Path

from arenatrace.capture.process.sudo_user import SudoUser
from arenatrace.errors import UsageError

#: Time that a command has to end after each request, s.
GRACE_S = 5.0


def check_command(argv: tuple[str, ...]) -> None:
    """Raise UsageError if the program does not exist, before anything is compiled."""
    if not argv or shutil.which(argv[0]) is not None:
        return
    path = Path(argv[0])
    why, hint = "no such program", "check the command after --; nothing was recorded"
    if not argv[0]:
        why = "its name is empty"
    elif "/" in argv[0] and path.is_dir():
        why = "it is a directory"
    elif "/" in argv[0] and path.exists():
        why, hint = "it is not executable", f"chmod +x {path}, or name its interpreter before it"
    raise UsageError(f"cannot start {argv[0] or 'the command'}: {why}", hint)


def describe_exit(status: int) -> str:
    """Describe an exit status or (negative) the signal that ended the command."""
    return f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"


class Command:
    """A child process that is asked to end, and killed only if it does not.

    Nothing here waits: the recorder continues to drain while the child ends.
    """

    def __init__(self, argv: tuple[str, ...], owner: SudoUser | None) -> None:
        """Start ``argv``, as ``owner`` if there is one; UsageError if it cannot be started."""
        try:
            if owner is None:
                self._child = subprocess.Popen(argv)
            else:
                self._child = subprocess.Popen(
                    argv, user=owner.uid, group=owner.gid, extra_groups=owner.groups
                )
        except OSError as exc:
            raise UsageError(
                f"cannot start {argv[0]}: {exc.strerror}",
                "check the command after --; nothing was recorded of it",
            ) from exc
        self._asked_at: float | None = None
        self._terminated_at: float | None = None
        self._killed = False

    @property
    def status(self) -> int | None:
        """Exit status; the negative signal number if one ended it; None while it runs."""
        return self._child.poll()

    def end(self, *, asks: int, knows: bool) -> None:
        """Take the next step towards the command's end; call it repeatedly until it has ended.

        ``knows``: it received the signal itself, as after Ctrl-C. ``asks`` is how often the user
        asked: the second time skips the grace period, the third kills.
        """
        now = time.monotonic()
        if self._asked_at is None:
            self._asked_at = now
        if self._terminated_at is None:
            if not knows or asks > 1 or now - self._asked_at >= GRACE_S:
                self._terminated_at = now
                self._child.send_signal(signal.SIGTERM)
        elif not self._killed and (asks > 2 or now - self._terminated_at >= GRACE_S):
            self._killed = True
            self._child.kill()

    def reap(self) -> None:
        """Kill the child if it still runs when a recording fails."""
        if self._child.poll() is None:
            self._child.kill()
        self._child.wait()
