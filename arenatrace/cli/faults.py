"""arenatrace faults: list the faults of a trace."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from arenatrace.schema import FAULT_SIDES, Cause

if TYPE_CHECKING:
    import polars as pl

    from arenatrace.analysis.fault_filter import FaultFilter
    from arenatrace.trace.folder import Collection

#: Upper limit in seconds, so that nanoseconds fit 64 bits.
_MAX_SECONDS = 4e9

_EPILOG = """\b
Examples:
  arenatrace faults run.atrace
  arenatrace faults run.atrace --limit 5      # the first five
  arenatrace faults run.atrace --program alpha --cause use-after-free
  arenatrace faults run.atrace --since 1.5 --until 2 --csv > faults.csv
  arenatrace faults run.atrace --json | jq 'select(.outcome == "oops")'
  arenatrace faults traces/ --csv             # of all traces in a folder

\b
Exit code: 1 if faults are shown, 0 if there are none or none match,
4 if there are none but events were lost, so that faults may be missing;
3 if one of several traces cannot be read (the others are shown).
"""


@click.command(epilog=_EPILOG)
@click.argument(
    "traces", metavar="TRACE...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV with a header line.")
@click.option(
    "--parquet",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a Parquet file instead of printing.",
)
@click.option("--program", multiple=True, metavar="NAME|ID", help="Only faults of this program.")
@click.option("--arena", multiple=True, metavar="NAME|ID", help="Only faults in this arena (map).")
@click.option(
    "--cause",
    multiple=True,
    metavar="CAUSE",
    type=click.Choice([cause.value for cause in Cause]),
    help="Only faults of this cause.",
)
@click.option(
    "--side",
    multiple=True,
    type=click.Choice(list(FAULT_SIDES.values())),
    help="Only faults on this side.",
)
@click.option("--task", multiple=True, metavar="NAME|PID|TID", help="Only faults of this task.")
@click.option("--since", metavar="S", type=float, help="Only S seconds after the start and later.")
@click.option(
    "--until", metavar="S", type=float, help="Only S seconds after the start and earlier."
)
@click.option(
    "--limit", metavar="N", type=click.IntRange(min=1), help="Print only the first N faults."
)
def faults(
    traces: tuple[Path, ...],
    as_json: bool,
    as_csv: bool,
    parquet: Path | None,
    limit: int | None,
    **wanted: Any,
) -> int:
    """List every fault with its address, program, source line, cause and task.

    Times are seconds after the start of the recording; in JSON, CSV and
    Parquet they are CLOCK_MONOTONIC nanoseconds. A filter can be repeated:
    one of its values must match. Different filters must all match.

    TRACE is a trace or a folder of traces. Faults of several traces are
    listed trace by trace, in the order of their start times; numbers, and
    the seconds of --since and --until, count from the start of each trace.
    """
    from arenatrace.analysis.fault_filter import FaultFilter
    from arenatrace.cli.common import collect_several

    if as_json + as_csv + (parquet is not None) > 1:
        raise click.UsageError("--json, --csv and --parquet exclude each other")
    since, until = wanted.pop("since"), wanted.pop("until")
    if not all(abs(bound) < _MAX_SECONDS for bound in (since, until) if bound is not None):
        raise click.UsageError("--since and --until take a number of seconds")
    chosen = FaultFilter(**wanted, since_s=since, until_s=until)
    form = "parquet" if parquet else "json" if as_json else "csv" if as_csv else "text"
    found = collect_several(traces)
    matches = _one(traces[0], chosen) if found is None else _several(found, chosen)
    shown = matches.rows.head(limit) if limit is not None else matches.rows
    _write(shown, matches.starts, form, parquet)
    return _report_omissions(matches, len(shown), chosen, found, form)


@dataclass
class _Matches:
    """Matching faults, start times by trace, and totals over all faults."""

    rows: pl.DataFrame
    starts: dict[str | None, int]
    total: int
    lost: int
    sealed: bool


def _one(path: Path, chosen: FaultFilter) -> _Matches:
    from arenatrace.analysis.faults import faults as fault_rows
    from arenatrace.analysis.totals import lost
    from arenatrace.cli.common import print_warnings
    from arenatrace.trace.reader import open_trace

    opened = open_trace(path)
    print_warnings(opened.warnings)
    start = opened.meta.start_ts_ns
    with opened.reading():
        total = fault_rows(opened).collect()
        rows = chosen.apply(total, opened.scan("arenas").collect(), start)
        return _Matches(rows, {None: start}, len(total), lost(opened), opened.meta.sealed)


def _several(found: Collection, chosen: FaultFilter) -> _Matches:
    """Return the matches in several traces; column ``trace`` of ``rows`` is the path."""
    import polars as pl

    from arenatrace.analysis.summary.many_traces import parts
    from arenatrace.cli.common import print_warnings

    matching: list[pl.DataFrame] = []
    starts: dict[str | None, int] = {}
    total = lost_events = 0
    for part in parts(found, print_warnings):
        path, start = str(part.trace.path), part.trace.meta.start_ts_ns
        with part.trace.reading():
            rows = chosen.apply(part.faults, part.trace.scan("arenas").collect(), start)
        matching.append(rows.select(pl.lit(path).alias("trace"), pl.all()))
        starts[path] = start
        total += len(part.faults)
        lost_events += part.lost
    if not matching:
        raise found.unreadable[0].error
    sealed = all(member.meta.sealed for member in found.members())
    return _Matches(pl.concat(matching), starts, total, lost_events, sealed)


def _report_omissions(
    matches: _Matches, shown: int, chosen: FaultFilter, found: Collection | None, form: str
) -> int:
    """Print warnings about faults that are not shown; return the exit code."""
    from arenatrace.cli.common import findings_code, print_unreadable, print_warnings
    from arenatrace.errors import ExitCode

    rows, where = len(matches.rows), "this trace" if found is None else "these traces"
    nothing = chosen.restricts() and matches.total and not rows
    if nothing:
        print_warnings([f"none of the {matches.total:,} faults in {where} matches"])
    elif not matches.total and form in ("text", "parquet"):
        print_warnings([f"no arena faults in {where}"])
    if shown < rows:
        print_warnings([f"{rows - shown:,} more faults are not shown (--limit)"])
    if found is not None and found.unreadable:
        print_unreadable(found)
        return ExitCode.INPUT
    return ExitCode.OK if nothing else findings_code(rows, matches.lost, sealed=matches.sealed)


def _write(
    rows: pl.DataFrame, starts: dict[str | None, int], form: str, parquet: Path | None
) -> None:
    if parquet is not None:
        from arenatrace.errors import ArenatraceError
        from arenatrace.report.fault_table import write_parquet

        try:
            write_parquet(rows, parquet)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise ArenatraceError(f"{parquet}: cannot be written: {reason}") from error
    elif form == "json":
        from arenatrace.report.json_output import fault_line

        for row in rows.iter_rows(named=True):
            click.echo(fault_line(row))
    elif form == "csv":
        from arenatrace.report.fault_table import write_csv

        write_csv(rows, sys.stdout)
    else:
        from arenatrace.report.faults_text import print_faults
        from arenatrace.report.screen import screen

        print_faults(rows.iter_rows(named=True), starts, screen(sys.stdout))
