"""arenatrace summary: one or several traces on one screen."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

_EPILOG = """\b
Examples:
  arenatrace summary run.atrace
  arenatrace summary run.atrace --json | jq .totals
  arenatrace summary monday/ tuesday/run.atrace   # several as one
\b
Exit code: 1 if there are faults, 0 if there are none, 4 if there are
none but events were lost, so that faults may be missing; 3 if one of
several traces cannot be read (the others are shown).
"""


@click.command(epilog=_EPILOG)
@click.argument(
    "traces", metavar="TRACE...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def summary(traces: tuple[Path, ...], as_json: bool) -> int:
    """Summarise the faults of a trace by program, arena and source line.

    TRACE is a trace or a folder of traces. Several traces make one summary,
    by host and boot.

    Faults are grouped by signature: the same program, function, source
    line and kernel function give the same signature in every trace.
    """
    from arenatrace.cli.common import (
        collect_several,
        print_unreadable,
        print_warnings,
        several_code,
    )

    found = collect_several(traces)
    if found is None:
        return show_summary(traces[0], as_json=as_json)
    from arenatrace.analysis.summary.combined import combined_summary

    combined = combined_summary(found, print_warnings)
    print_unreadable(found)
    _show(combined, as_json=as_json)
    totals = combined["totals"]
    return several_code(found, _faults(totals), totals["lost"])


def show_summary(trace: Path, *, as_json: bool) -> int:
    """Print the summary of ``trace`` and return the exit code. Raises ArenatraceError."""
    from arenatrace.analysis.summary.one_trace import summary as summarise
    from arenatrace.cli.common import findings_code, print_warnings
    from arenatrace.trace.reader import open_trace

    opened = open_trace(trace)
    print_warnings(opened.warnings)
    with opened.reading():
        found = summarise(opened)
    _show(found, as_json=as_json)
    totals = found["totals"]
    return findings_code(_faults(totals), totals["lost"], sealed=opened.meta.sealed)


def _faults(totals: Mapping[str, int]) -> int:
    return totals["kernel_faults"] + totals["prog_faults"]


def _show(found: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        from arenatrace.report.json_output import summary_line

        click.echo(summary_line(found))
    else:
        from arenatrace.report.screen import screen
        from arenatrace.report.summary_text import print_summary

        print_summary(found, screen(sys.stdout))
