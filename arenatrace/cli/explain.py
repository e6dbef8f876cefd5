"""arenatrace explain: one fault, with all there is to say about it."""

from __future__ import annotations

import sys
from pathlib import Path

import click

_EPILOG = """\b
Examples:
  arenatrace explain run.atrace 1
  arenatrace faults run.atrace --cause use-after-free   # which number?
\b
Exit code: 1, a fault was found; 2 if the trace has no fault of that
number.
"""


@click.command(epilog=_EPILOG)
@click.argument("trace", type=click.Path(path_type=Path))
@click.argument("number", metavar="N", type=click.IntRange(min=1))
def explain(trace: Path, number: int) -> int:
    """Explain fault N: its cause, the page's history and what came of it.

    N is the number that `arenatrace faults` shows. Pages around the address
    are shown as they were just before the fault.
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
        told = explanation(opened, number)
    if told is None:
        raise UsageError(f"{trace}: there is no fault {number}", f"see: arenatrace faults {trace}")
    print_explanation(told, screen(sys.stdout))
    return ExitCode.FINDINGS
