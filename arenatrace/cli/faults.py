"""arenatrace faults: every fault of a trace."""

from __future__ import annotations

import sys
from pathlib import Path

import click

_EPILOG = """\b
Examples:
  arenatrace faults run.atrace
  arenatrace faults run.atrace --limit 5      # the first five
  arenatrace faults run.atrace --json | jq 'select(.outcome == "oops")'
\b
Exit code: 1 if there are faults, 0 if there are none, 4 if there are
none but events were lost, so that there may have been some.
"""


@click.command(epilog=_EPILOG)
@click.argument("trace", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@click.option(
    "--limit", metavar="N", type=click.IntRange(min=1), help="Print only the first N faults."
)
def faults(trace: Path, as_json: bool, limit: int | None) -> int:
    """List every fault with its address, program, source line and task.

    Times are seconds after the start of the recording; in JSON they are
    CLOCK_MONOTONIC nanoseconds.
    """
    from arenatrace.analysis.faults import faults as fault_rows
    from arenatrace.analysis.totals import lost
    from arenatrace.cli.findings import findings_code
    from arenatrace.cli.notices import print_notices
    from arenatrace.trace.reader import open_trace

    opened = open_trace(trace)
    print_notices(opened.notices)
    with opened.reading():
        rows = fault_rows(opened).collect()
        lost_events = lost(opened)
    shown = rows.head(limit) if limit is not None else rows
    if as_json:
        from arenatrace.report.json_lines import fault_line

        for row in shown.iter_rows(named=True):
            click.echo(fault_line(row))
    else:
        from arenatrace.report.faults_text import print_faults
        from arenatrace.report.screen import screen

        print_faults(shown.iter_rows(named=True), opened.meta.start_ts_ns, screen(sys.stdout))
        if not len(rows):
            print_notices(["no arena faults in this trace"])
    if len(shown) < len(rows):
        print_notices([f"{len(rows) - len(shown):,} more faults are not shown (--limit)"])
    return findings_code(len(rows), lost_events, sealed=opened.meta.sealed)
