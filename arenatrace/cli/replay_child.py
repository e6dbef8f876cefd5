"""A replay in a process of its own: it is pure Python, and would keep a screen from moving."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from arenatrace.errors import ArenatraceError


def replay_in_child(trace: Path) -> Mapping[str, Any]:
    """The object of ``replay --json``. Raises ArenatraceError with what the child complained of."""
    command = [sys.executable, "-m", "arenatrace.cli", "replay", "--json", "--jobs", "1"]
    done = subprocess.run(
        [*command, "--", str(trace)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        start_new_session=True,
        check=False,
    )
    try:
        found: dict[str, Any] = json.loads(done.stdout)
    except ValueError as error:
        said = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
        raise ArenatraceError(f"replay: {said[0]}") from error
    return found
