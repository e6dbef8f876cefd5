"""arenatrace summary: the whole trace on one screen."""

from __future__ import annotations

import sys
from pathlib import Path

import click

_EPILOG = """\b
Examples:
  arenatrace summary run.atrace
  arenatrace summary run.atrace --json | jq .totals
\b
Exit code: 1 if there are faults, 0 if there are none, 4 if there are
none but events were lost, so that there may have been some.
"""


@click.command(epilog=_EPILOG)
@click.argument("trace", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def summary(trace: Path, as_json: bool) -> int:
    """How bad is it, who did it, and where?

    Faults are grouped by signature: the same program, function, source
    line and kernel function give the same signature in every trace.
    """
    return show_summary(trace, as_json=as_json)


def show_summary(trace: Path, *, as_json: bool) -> int:
    """Print the summary of ``trace``; the exit code of a look at it. ArenatraceError."""
    from arenatrace.analysis.summary import summary as summarise
    from arenatrace.cli.findings import findings_code
    from arenatrace.cli.notices import print_notices
    from arenatrace.trace.reader import open_trace

    opened = open_trace(trace)
    print_notices(opened.notices)
    with opened.reading():
        found = summarise(opened)
    if as_json:
        from arenatrace.report.json_lines import summary_line

        click.echo(summary_line(found))
    else:
        from arenatrace.report.screen import screen
        from arenatrace.report.summary_text import print_summary

        print_summary(found, screen(sys.stdout))
    totals = found["totals"]
    faults = totals["kernel_faults"] + totals["prog_faults"]
    return findings_code(faults, totals["lost"], sealed=opened.meta.sealed)
