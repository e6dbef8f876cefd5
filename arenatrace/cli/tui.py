"""arenatrace tui: browse a trace or a live recording on the terminal."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from arenatrace.cli.record import record
from arenatrace.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from arenatrace.tui.sources.record_process import Recorder
    from arenatrace.tui.sources.source import Source

_EPILOG = """\b
Examples:
  arenatrace tui run.atrace
  sudo arenatrace tui --live                       # until q
  sudo arenatrace tui --live -- ./my_workload
  sudo arenatrace tui --live -o run.atrace --as-root -- ./my_scheduler

\b
Keys: Enter opens a row, Escape goes back, ? shows all keys, q ends.

\b
Exit code: 0; with --live 4 if events were lost, and 2 or 5 as for
`arenatrace record`. Without a usable terminal the summary is printed,
with the exit code of `arenatrace summary`.
"""

_ARGUMENTS = "TRACE | --live [-- CMD ...]"

#: Options of record that do not apply to a live view.
_NOT_LIVE = ("dry_run", "keep", "max_windows", "max_size")
_RECORD_OPTIONS = [
    option
    for option in record.params
    if isinstance(option, click.Option) and option.name not in _NOT_LIVE
]


@click.pass_context
def _tui(ctx: click.Context, /, live: bool, arguments: tuple[str, ...], **values: Any) -> int:
    """Browse a trace, or a live recording, on the terminal.

    An unsealed trace is followed. With --live, record with the options of
    `arenatrace record` and show the events as they come. A recording with
    faults stays; one without faults stays if you confirm it.
    """
    if live:
        return _live(arguments, values)
    given = [
        name for name in values if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
    ]
    if given:
        raise click.UsageError(f"--{given[0].replace('_', '-')} applies to a recording: add --live")
    if len(arguments) != 1:
        raise click.UsageError("give one trace, or --live")
    trace = Path(arguments[0])
    reason = no_terminal()
    if reason:
        from arenatrace.cli.summary import show_summary

        click.echo(f"arenatrace: {reason}: printing the summary", err=True)
        click.echo("hint: run arenatrace tui in a terminal that can position its cursor", err=True)
        return show_summary(trace, as_json=False)
    return _browse(trace)


tui = click.Command(
    "tui",
    callback=_tui,
    epilog=_EPILOG,
    params=[
        click.Option(["--live"], is_flag=True, help="Record, and show the events as they come."),
        *_RECORD_OPTIONS,
        click.Argument(["arguments"], metavar=_ARGUMENTS, nargs=-1, type=click.UNPROCESSED),
    ],
    help=_tui.__doc__,
    context_settings={"allow_interspersed_args": False},
)


def _browse(trace: Path) -> int:
    from arenatrace.tui.allocators import return_memory_early

    return_memory_early()  # before polars is imported
    from arenatrace.replay.child import ReplayChild
    from arenatrace.trace.meta import read_meta
    from arenatrace.trace.reader import find_trace, open_trace
    from arenatrace.tui.sources.live import LiveSource
    from arenatrace.tui.sources.recorded import TraceSource

    path = find_trace(trace)
    if read_meta(path).sealed:
        return _run(TraceSource(open_trace(path), ReplayChild()))
    return _run(LiveSource(path, replay=ReplayChild))


def _live(command: tuple[str, ...], values: dict[str, Any]) -> int:
    reason = no_terminal()
    if reason:
        raise UsageError(f"--live needs a terminal: {reason}", "record it: arenatrace record")
    from arenatrace.tui.allocators import return_memory_early

    return_memory_early()  # before polars is imported
    from arenatrace.capture.preflight import Kernel
    from arenatrace.capture.process.command import check_command
    from arenatrace.capture.session import check_output
    from arenatrace.replay.child import ReplayChild
    from arenatrace.tui.sources.live import LiveSource
    from arenatrace.tui.sources.record_process import Recorder

    # The checks of record, before the screen is drawn.
    Kernel.detect(values["level"], without_recovery=values["without_recovery"])
    path = values["output"] or Path(time.strftime("arenatrace-%Y%m%d-%H%M%S.atrace"))
    check_output(path)
    check_command(command)
    record_command = [sys.executable, "-m", "arenatrace.cli", "record"]
    record_command += _as_arguments({**values, "output": path})
    recorder = Recorder(
        [*record_command, "--", *command], path, requested=values["output"] is not None
    )
    source = LiveSource(path, recorder=recorder, replay=ReplayChild)
    try:
        code = _run(source, recorder)
    finally:
        if recorder.running:
            click.echo("arenatrace: ending the recording", err=True)
        recorder.finish()
    failure = recorder.failure()
    if recorder.is_kept and path.is_dir():
        click.echo(f"arenatrace: the trace is {path}; see: arenatrace tui {path}", err=True)
    if failure is not None:
        raise failure
    lossy = recorder.returncode == ExitCode.INCONCLUSIVE
    return code or (ExitCode.INCONCLUSIVE if lossy else ExitCode.OK)


def _as_arguments(values: dict[str, Any]) -> list[str]:
    """Return ``values`` of options of record as command-line arguments."""
    arguments: list[str] = []
    for option in _RECORD_OPTIONS:
        value = values[option.name or ""]
        name = max(option.opts, key=len)
        if option.is_flag:
            arguments += [name] if value else []
        elif option.multiple:
            arguments += [argument for one in value for argument in (name, str(one))]
        elif value is not None:
            arguments += [name, str(value)]
    return arguments


def no_terminal() -> str:
    """Return why no screen can be drawn; empty if it can."""
    if not sys.stdout.isatty() or not sys.stdin.isatty():
        return "no terminal"
    if os.environ.get("TERM", "dumb") in ("", "dumb", "unknown"):
        return "TERM names no terminal that can position its cursor"
    return ""


def _run(source: Source, recorder: Recorder | None = None) -> int:
    """Run the application and return its exit code. Re-raises the error that ended it."""
    from arenatrace.tui.app import ArenatraceApp
    from arenatrace.tui.ascii_glyphs import environment_at_start, speaks_utf8

    ascii_only = not speaks_utf8(environment_at_start())
    app = ArenatraceApp(source, recorder=recorder, ascii_only=ascii_only)
    app.run()
    app.ended()
    if app.failure is not None:
        raise app.failure
    return app.return_code or 0
