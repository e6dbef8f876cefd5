"""The command line: one subcommand per file, loaded when it runs."""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line of this process and exit with its code (``errors.ExitCode``)."""
    from arenatrace.cli.app import run

    sys.exit(run(sys.argv[1:]))
