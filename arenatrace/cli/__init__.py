"""Command line: options only, one file per subcommand, imported when it runs.

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
        # The terminal UI was closed during a query. Interpreter shutdown would wait for its
        # threads or pull modules from under them.
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)
    sys.exit(code)
