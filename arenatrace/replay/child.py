"""Replay in a child process. A replay in a thread would block the UI: it is pure Python."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from arenatrace.errors import ArenatraceError

_REPLAY = (sys.executable, "-m", "arenatrace.cli", "replay", "--json", "--jobs", "1", "--")


class ReplayChild:
    """Replays one trace at a time. ``stop`` ends a running replay and prevents further ones.

    Where setpriv is installed, the kernel kills the child when this process dies
    (``PR_SET_PDEATHSIG``), because no process would read its result.
    """

    def __init__(self, command: Sequence[str] = _REPLAY) -> None:
        self._command = tuple(command)
        self._lock = threading.Lock()
        self._child: subprocess.Popen[str] | None = None
        self._stopped = False

    def __call__(self, trace: Path) -> Mapping[str, Any]:
        """Return the object of ``replay --json``.

        Raises:
            ArenatraceError: The child failed (the message is its first line on stderr), or
                the replay was stopped.
        """
        child = self._start(trace)
        with child:
            output, errors = child.communicate()
        if self._stopped:
            raise ArenatraceError("replay: stopped before the end")
        try:
            result: dict[str, Any] = json.loads(output)
        except ValueError as error:
            lines = errors.strip().splitlines() or [f"exit status {child.returncode}"]
            raise ArenatraceError(f"replay: {lines[0]}") from error
        return result

    def _start(self, trace: Path) -> subprocess.Popen[str]:
        setpriv = shutil.which("setpriv")
        prefix = [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
        with self._lock:
            if self._stopped:
                raise ArenatraceError("replay: stopped before the start")
            self._child = subprocess.Popen(
                [*prefix, *self._command, str(trace)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            return self._child

    def stop(self) -> None:
        """Kill the child, wait for its end, and refuse further replays."""
        with self._lock:
            self._stopped = True
            if self._child is not None and self._child.poll() is None:
                self._child.kill()
                self._child.wait()
