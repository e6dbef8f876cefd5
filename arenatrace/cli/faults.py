"""arenatrace faults: every fault of a trace."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import polars as pl

    from arenatrace.trace.reader import Trace

#: The causes there are, spelled out so that --help needs no analysis.
_CAUSES = (
    "use-after-free",
    "never-allocated",
    "out-of-bounds",
    "null-page",
    "reserved-guard",
    "outside-user-range",
    "guard-band",
    "alloc-race",
    "free-race",
    "refault",
    "unknown",
)

#: Seconds that still fit 64 bits of nanoseconds.
_MAX_SECONDS = 4e9

_EPILOG = """\b
Examples:
  arenatrace faults run.atrace
  arenatrace faults run.atrace --limit 5      # the first five
  arenatrace faults run.atrace --program alpha --cause use-after-free
  arenatrace faults run.atrace --since 1.5 --until 2 --csv > faults.csv
  arenatrace faults run.atrace --json | jq 'select(.outcome == "oops")'

\b
Exit code: 1 if faults are shown, 0 if there are none or none match,
4 if there are none but events were lost, so that there may have been some.
"""


@click.command(epilog=_EPILOG)
@click.argument("trace", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV with a header line.")
@click.option(
    "--parquet",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a Parquet file instead of printing.",
)
@click.option("--program", multiple=True, metavar="NAME|ID", help="Only faults of this program.")
@click.option("--arena", multiple=True, metavar="NAME|ID", help="Only in this arena (map).")
@click.option(
    "--cause",
    multiple=True,
    metavar="CAUSE",
    type=click.Choice(_CAUSES),
    help="Only of this cause.",
)
@click.option(
    "--side", multiple=True, type=click.Choice(("kernel", "prog")), help="Only on this side."
)
@click.option("--task", multiple=True, metavar="NAME|PID|TID", help="Only of this task.")
@click.option("--since", metavar="S", type=float, help="Only from S seconds after the start on.")
@click.option("--until", metavar="S", type=float, help="Only until S seconds after the start.")
@click.option(
    "--limit", metavar="N", type=click.IntRange(min=1), help="Print only the first N faults."
)
def faults(
    trace: Path,
    as_json: bool,
    as_csv: bool,
    parquet: Path | None,
    limit: int | None,
    **wanted: Any,
) -> int:
    """List every fault with its address, program, source line, cause and task.

    Times are seconds after the start of the recording; in JSON, CSV and
    Parquet they are CLOCK_MONOTONIC nanoseconds. Options that select can be
    given more than once; different ones must all match.
    """
    from arenatrace.analysis.fault_filter import FaultFilter
    from arenatrace.analysis.faults import faults as fault_rows
    from arenatrace.analysis.totals import lost
    from arenatrace.cli.findings import findings_code
    from arenatrace.cli.notices import print_notices
    from arenatrace.errors import ExitCode
    from arenatrace.trace.reader import open_trace

    if as_json + as_csv + (parquet is not None) > 1:
        raise click.UsageError("--json, --csv and --parquet exclude each other")
    since, until = wanted.pop("since"), wanted.pop("until")
    if not all(abs(bound) < _MAX_SECONDS for bound in (since, until) if bound is not None):
        raise click.UsageError("--since and --until take a number of seconds")
    chosen = FaultFilter(**wanted, since_s=since, until_s=until)
    opened = open_trace(trace)
    print_notices(opened.notices)
    with opened.reading():
        every = fault_rows(opened).collect()
        rows = chosen.apply(every, opened.scan("arenas").collect(), opened.meta.start_ts_ns)
        lost_events = lost(opened)
    shown = rows.head(limit) if limit is not None else rows
    _write(shown, opened, "json" if as_json else "csv" if as_csv else "text", parquet)
    if chosen.restricts() and len(every) and not len(rows):
        print_notices([f"none of the {len(every):,} faults in this trace matches"])
        return ExitCode.OK
    if not len(every) and not as_json and not as_csv:
        print_notices(["no arena faults in this trace"])
    if len(shown) < len(rows):
        print_notices([f"{len(rows) - len(shown):,} more faults are not shown (--limit)"])
    return findings_code(len(rows), lost_events, sealed=opened.meta.sealed)


def _write(rows: pl.DataFrame, trace: Trace, form: str, parquet: Path | None) -> None:
    if parquet is not None:
        from arenatrace.errors import ArenatraceError
        from arenatrace.report.fault_table import write_parquet

        try:
            write_parquet(rows, parquet)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise ArenatraceError(f"{parquet}: cannot be written: {reason}") from error
    elif form == "json":
        from arenatrace.report.json_lines import fault_line

        for row in rows.iter_rows(named=True):
            click.echo(fault_line(row))
    elif form == "csv":
        from arenatrace.report.fault_table import write_csv

        write_csv(rows, sys.stdout)
    else:
        from arenatrace.report.faults_text import print_faults
        from arenatrace.report.screen import screen

        print_faults(rows.iter_rows(named=True), trace.meta.start_ts_ns, screen(sys.stdout))
