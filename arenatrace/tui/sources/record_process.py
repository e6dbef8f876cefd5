"""The recorder of a live view, `arenatrace record` as a child process, and its trace."""

from __future__ import annotations

import shutil
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from arenatrace.errors import ArenatraceError, ExitCode

#: Lines of the child's stderr that are retained.
_LINES = 200
_PREFIX = "arenatrace: "
_ERROR = "arenatrace: error: "
_HINT = "hint: "


class RecorderError(ArenatraceError):
    """The recorder failed; message, hint and exit code are its own."""

    def __init__(self, message: str, hint: str, code: int) -> None:
        super().__init__(message, hint)
        known = code in ExitCode.__members__.values()
        self.exit_code = ExitCode(code) if known else ExitCode.INTERNAL


class Recorder:
    """Runs ``command``, which records into ``path``.

    ``finish`` deletes the trace unless the user named it with ``-o`` (``requested``), ``keep`` is
    set, or a fault occurred (``faulted``).
    """

    def __init__(self, command: Sequence[str], path: Path, *, requested: bool) -> None:
        self.path = path
        self.is_requested = requested
        self.keep = False
        self.faulted = False
        self._command = list(command)
        self._output: deque[str] = deque(maxlen=_LINES)
        self._child: subprocess.Popen[str] | None = None
        self._listener: threading.Thread | None = None

    @property
    def is_kept(self) -> bool:
        """Whether the trace will be kept."""
        return self.is_requested or self.keep or self.faulted

    @property
    def running(self) -> bool:
        """Whether the child is running."""
        return self._child is not None and self._child.poll() is None

    @property
    def returncode(self) -> int | None:
        """The child's exit code; None while it runs."""
        return None if self._child is None else self._child.poll()

    def start(self) -> None:
        """Start the child; call it from a thread that lives until the end (the main thread).

        If setpriv is installed, the child gets SIGTERM when we die (``PR_SET_PDEATHSIG``):
        otherwise it would record on unnoticed.
        """
        setpriv = shutil.which("setpriv")
        leash = [setpriv, "--pdeathsig", "TERM", "--"] if setpriv else []
        self._child = subprocess.Popen(
            [*leash, *self._command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="backslashreplace",
            start_new_session=True,
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self._child is not None  # noqa: S101 - start() made it
        assert self._child.stdout is not None  # noqa: S101 - as start() asks
        with self._child.stdout as stream:
            for line in stream:
                self._output.append(line.rstrip("\n"))

    @property
    def status(self) -> str:
        """The recorder's last status line."""
        statuses = [line for line in list(self._output) if line.startswith(_PREFIX)]
        return statuses[-1].removeprefix(_PREFIX) if statuses else "starting the recorder"

    def failure(self) -> RecorderError | None:
        """Return why the child ended early; None if it did not."""
        code = self.returncode
        if code in (None, ExitCode.OK):
            return None
        if self._listener is not None:
            self._listener.join(1.0)
        lines = list(self._output)
        errors = [line.removeprefix(_ERROR) for line in lines if line.startswith(_ERROR)]
        hints = [line.removeprefix(_HINT) for line in lines if line.startswith(_HINT)]
        if code == ExitCode.INCONCLUSIVE and not errors:
            return None  # events were lost, which the trace says
        message = errors[-1] if errors else f"the recorder ended with status {code}"
        return RecorderError(message, hints[-1] if hints else "", code or 0)

    def stop(self) -> None:
        """Ask the child to end the recording and seal the trace."""
        if self._child is not None and self.running:
            self._child.send_signal(signal.SIGINT)

    def finish(self) -> None:
        """End the recording, wait for the seal, and delete the trace unless it is kept."""
        if self._child is None:
            return
        self.stop()
        self._child.wait()
        if self._listener is not None:
            self._listener.join(1.0)
        if not self.is_kept and self.path.is_dir():
            shutil.rmtree(self.path, ignore_errors=True)
