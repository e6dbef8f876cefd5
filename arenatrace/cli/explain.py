"""arenatrace explain: the details of one fault."""

from __future__ import annotations

import sys
from pathlib import Path

import click

_EPILOG = """\b
Examples:
  arenatrace explain run.atrace 1
  arenatrace faults run.atrace --cause use-after-free   # shows numbers
\b
Exit code: 1 if the fault exists, 2 if the trace has no fault N.
"""


@click.command(epilog=_EPILOG)
@click.argument("trace", type=click.Path(path_type=Path))
@click.argument("number", metavar="N", type=click.IntRange(min=1))
def explain(trace: Path, number: int) -> int:
    """Explain fault N: its cause, the history of its page and its effects.

    `arenatrace faults` shows the number N. The pages around the address are
    shown in their state just before the fault.
    """
    from arenatrace.analysis.explanation import explanation
    from arenatrace.cli.common import print_warnings
    from arenatrace.errors import ExitCode, UsageError
    from arenatrace.report.explain_text import print_explanation
    from arenatrace.report.screen import screen
    from arenatrace.trace.reader import open_trace

    opened = open_trace(trace)
    print_warnings(opened.warnings)
    with opened.reading():
        found = explanation(opened, number)
    if found is None:
        raise UsageError(f"{trace}: no fault {number}", f"see: arenatrace faults {trace}")
    print_explanation(found, screen(sys.stdout))
    return ExitCode.FINDINGS
