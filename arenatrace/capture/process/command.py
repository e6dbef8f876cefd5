"""The command that is run while recording, and how it is brought to an end."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from pathlib import Path

from arenatrace.capture.process.sudo_user import Invoker
from arenatrace.errors import UsageError

#: Seconds a command may take to end after each time it was asked to.
PATIENCE_S = 5.0


def check_command(argv: tuple[str, ...]) -> None:
    """Raise UsageError if there is no such program, before anything is compiled."""
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


def how_it_ended(status: int) -> str:
    """In words, an exit status or (negative) the signal that ended the command."""
    return f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"


class Command:
    """A child process that is asked to end, and made to only if it does not.

    It is never waited for here: the recorder has to go on draining while it ends.
    """

    def __init__(self, argv: tuple[str, ...], owner: Invoker | None) -> None:
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
        """Exit status, the negative signal number if one ended it, None while it runs."""
        return self._child.poll()

    def end(self, *, asks: int, knows: bool) -> None:
        """Bring the command nearer to its end; to be called again and again until it is there.

        ``knows``: it heard of the end itself, as after Ctrl-C. ``asks`` is how often the user
        asked: the second time means now, the third by force.
        """
        now = time.monotonic()
        if self._asked_at is None:
            self._asked_at = now
        if self._terminated_at is None:
            if not knows or asks > 1 or now - self._asked_at >= PATIENCE_S:
                self._terminated_at = now
                self._child.send_signal(signal.SIGTERM)
        elif not self._killed and (asks > 2 or now - self._terminated_at >= PATIENCE_S):
            self._killed = True
            self._child.kill()

    def reap(self) -> None:
        """Leave no child behind when a recording fails: kill it if it still runs."""
        if self._child.poll() is None:
            self._child.kill()
        self._child.wait()
