"""The interface with an injected internal error.

python -m tests.tui.crashing TRACE
"""

from __future__ import annotations

import sys
from pathlib import Path

from arenatrace.cli.app import run as run_command
from arenatrace.tui.snapshot import Snapshot
from arenatrace.tui.views.overview import Overview


def main() -> int:
    """``arenatrace tui TRACE`` whose overview fails once there is something to show."""
    show = Overview.show

    def fail(self: Overview, snapshot: Snapshot) -> None:
        show(self, snapshot)
        if snapshot.explained:
            raise RuntimeError("made to fail\x1b[31m")

    Overview.show = fail  # type: ignore[method-assign]
    return run_command(["tui", str(Path(sys.argv[1]))])


if __name__ == "__main__":
    sys.exit(main())
