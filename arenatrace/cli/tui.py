"""arenatrace tui: a trace on the terminal, to look through."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

_EPILOG = """\b
Examples:
  arenatrace tui run.atrace

\b
Keys: Enter opens a row, Escape goes back, ? shows all keys, q ends.

\b
Exit code: 0. Where there is no terminal to draw on, the summary is
printed instead and the exit code is that of `arenatrace summary`.
"""


@click.command(epilog=_EPILOG)
@click.argument("trace", type=click.Path(path_type=Path))
def tui(trace: Path) -> int:
    """Look through a trace on the terminal."""
    reason = no_terminal()
    if reason:
        from arenatrace.cli.summary import show_summary

        click.echo(f"arenatrace: {reason}: this is the summary", err=True)
        click.echo("hint: run arenatrace tui in a terminal that can place its cursor", err=True)
        return show_summary(trace, as_json=False)
    from arenatrace.trace.reader import open_trace
    from arenatrace.tui.app import ArenatraceApp
    from arenatrace.tui.trace_source import TraceSource

    return run_app(ArenatraceApp(TraceSource(open_trace(trace), replay_in_child)))


def no_terminal() -> str:
    """Why no screen can be drawn here, empty if one can."""
    if not sys.stdout.isatty() or not sys.stdin.isatty():
        return "no terminal"
    if os.environ.get("TERM", "dumb") in ("", "dumb", "unknown"):
        return "TERM names no terminal that can place its cursor"
    return ""


def run_app(app: Any) -> int:
    """Run the application to its end; what ended it badly is raised anew. The exit code."""
    app.run()
    if app.failure is not None:
        raise app.failure
    return app.return_code or 0


def replay_in_child(trace: Path) -> Mapping[str, Any]:
    """The object of ``replay --json``, from a process of its own: it is pure Python and long.

    Raises ArenatraceError with what that process complained about.
    """
    from arenatrace.errors import ArenatraceError

    command = [
        sys.executable,
        "-m",
        "arenatrace.cli",
        "replay",
        "--json",
        "--jobs",
        "1",
        str(trace),
    ]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    try:
        found: dict[str, Any] = json.loads(done.stdout)
    except ValueError as error:
        said = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
        raise ArenatraceError(f"replay: {said[0]}") from error
    return found
