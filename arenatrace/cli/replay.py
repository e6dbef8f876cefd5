"""arenatrace replay: check a trace against a model of the kernel's arena."""

from __future__ import annotations

import json
from pathlib import Path

import click

from arenatrace.schema import ProfileName

_EPILOG = """\b
Examples:
  arenatrace replay run.atrace
  arenatrace replay run.atrace --json | jq .verdict
  arenatrace replay run.atrace --profile scratch-sticky
  arenatrace replay run.atrace --what-if pre-scratch
\b
Exit code: 0 if the trace is consistent, 1 if an event in it is impossible,
4 if the trace lacks the data for a verdict.
"""


@click.command(epilog=_EPILOG)
@click.argument("trace", type=click.Path(path_type=Path))
@click.option(
    "--profile",
    metavar="PROFILE",
    default="auto",
    show_default=True,
    help=f"Kernel profile: {', '.join(ProfileName)}.",
)
@click.option("--what-if", metavar="PROFILE", help="Show events that differ under PROFILE.")
@click.option("--jobs", metavar="N", type=click.IntRange(min=1), help="Most processes to use.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def replay(trace: Path, profile: str, what_if: str | None, jobs: int | None, as_json: bool) -> int:
    """Check a trace against a model of the kernel's arena.

    The model predicts the address of every allocation and the outcome of
    every fault. Each event that is impossible as recorded is reported.
    """
    from arenatrace.cli.common import print_warnings
    from arenatrace.replay.run import replay_trace
    from arenatrace.report.replay_text import replay_lines, what_if_lines
    from arenatrace.trace.reader import open_trace

    opened = open_trace(trace)
    print_warnings(opened.warnings)
    with opened.reading():
        result = replay_trace(opened, profile, jobs)
        other = None
        if what_if is not None:
            from arenatrace.replay.what_if import what_if_trace

            other = what_if_trace(opened, result.profile, what_if)
    if as_json:
        shown = result.to_dict()
        if other is not None:
            shown["what_if"] = other.to_dict()
        click.echo(json.dumps(shown))
    else:
        for line in replay_lines(result):
            click.echo(line)
        for line in what_if_lines(other) if other is not None else ():
            click.echo(line)
    return result.exit_code
