"""A replay in a process of its own: it is pure Python, and would keep a screen from moving."""

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
    """Replays one trace at a time; ``stop`` ends a replay that is under way, for good.

    The child dies with us, also if we are killed (``PR_SET_PDEATHSIG``), where setpriv is there
    to see to it: nobody would read what it finds.
    """

    def __init__(self, command: Sequence[str] = _REPLAY) -> None:
        self._command = tuple(command)
        self._lock = threading.Lock()
        self._child: subprocess.Popen[str] | None = None
        self._stopped = False

    def __call__(self, trace: Path) -> Mapping[str, Any]:
        """The object of ``replay --json``.

        Raises ArenatraceError with what the child complained of, or because it was stopped.
        """
        child = self._start(trace)
        with child:
            said, complaint = child.communicate()
        if self._stopped:
            raise ArenatraceError("replay: ended before it was done")
        try:
            found: dict[str, Any] = json.loads(said)
        except ValueError as error:
            lines = complaint.strip().splitlines() or [f"it ended with {child.returncode}"]
            raise ArenatraceError(f"replay: {lines[0]}") from error
        return found

    def _start(self, trace: Path) -> subprocess.Popen[str]:
        setpriv = shutil.which("setpriv")
        leash = [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
        with self._lock:
            if self._stopped:
                raise ArenatraceError("replay: ended before it began")
            self._child = subprocess.Popen(
                [*leash, *self._command, str(trace)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            return self._child

    def stop(self) -> None:
        """End the child, and wait for its end; replay no more."""
        with self._lock:
            self._stopped = True
            if self._child is not None and self._child.poll() is None:
                self._child.kill()
                self._child.wait()
