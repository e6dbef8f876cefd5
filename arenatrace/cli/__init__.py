"""The command line: options only, one subcommand per file, imported when it runs.

`app.py` lists the subcommands and turns errors into one line, a hint and an exit code.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line of this process and exit with its code (``errors.ExitCode``)."""
    from arenatrace.cli.app import run

    code = run(sys.argv[1:])
    if threading.active_count() > 1:
        # A screen that was left in the middle of a query: the interpreter must not be taken
        # down under its threads, and nobody wants to wait for them.
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)
    sys.exit(code)
