"""arenatrace arenas: page states of the arenas of a trace."""

from __future__ import annotations

import sys
from pathlib import Path

import click

#: Upper limit in seconds, so that nanoseconds fit 64 bits.
_MAX_SECONDS = 4e9

_EPILOG = """\b
Examples:
  arenatrace arenas run.atrace
  arenatrace arenas run.atrace --at 1.5 --arena alpha_arena
  arenatrace arenas run.atrace --json | jq '.arenas[].pages'
"""


@click.command(epilog=_EPILOG)
@click.argument("trace", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--at",
    metavar="S",
    type=float,
    help="Time in seconds after the start.  [default: the end of the recording, or of an arena "
    "that was destroyed before]",
)
@click.option("--arena", multiple=True, metavar="NAME|ID", help="Only this arena (map).")
def arenas(trace: Path, as_json: bool, at: float | None, arena: tuple[str, ...]) -> int:
    """Show the arenas and the state of their pages at one time.

    A range of pages is free, allocated, reserved, scratched (a fault installed
    the scratch page) or unknown.
    """
    from arenatrace.analysis.pages.arenas import arenas_at
    from arenatrace.analysis.totals import lost
    from arenatrace.cli.common import print_warnings
    from arenatrace.errors import ExitCode
    from arenatrace.report.arenas_text import arenas_line, nothing_matches, print_arenas
    from arenatrace.report.screen import screen
    from arenatrace.trace.reader import open_trace

    if at is not None and not abs(at) < _MAX_SECONDS:
        raise click.UsageError("--at takes a number of seconds")
    opened = open_trace(trace)
    print_warnings(opened.warnings)
    start = opened.meta.start_ts_ns
    with opened.reading():
        found = arenas_at(opened, None if at is None else start + round(at * 1e9), arena)
        lost_events = lost(opened)
        every = opened.scan("arenas").collect().height
    if as_json:
        click.echo(arenas_line(found))
    else:
        print_arenas(found, start, lost_events, screen(sys.stdout))
    if not found["arenas"]:
        print_warnings([nothing_matches(arena, every) if every else "no arenas in this trace"])
    return ExitCode.OK
