"""Group of subcommands, and conversion of errors to text and exit codes."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import IO

import click

from arenatrace import __version__
from arenatrace.cli.lazy_group import LazyGroup, PipeClosedError
from arenatrace.errors import ArenatraceError, ExitCode
from arenatrace.report.sanitize import harmless

_INTERRUPTED = 128 + 2
_PIPE_CLOSED = 128 + 13

_EPILOG = """\b
Examples:
  arenatrace record -o run.atrace -- ./my_scheduler   # record a run
  arenatrace summary run.atrace                       # programs and lines
  arenatrace faults run.atrace                        # each fault
  arenatrace faults run.atrace --json | jq .source    # as JSON
\b
Exit codes:
  0 no faults, 1 faults found, 2 usage error, 3 unreadable input,
  4 inconclusive because events were lost, 5 not possible on this machine,
  70 internal error of arenatrace
"""


@click.group(
    cls=LazyGroup,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 79},
    lazy={
        "record": ("arenatrace.cli.record:record", "Record arena faults of the running kernel."),
        "doctor": ("arenatrace.cli.doctor:doctor", "Check whether this machine can record."),
        "import": ("arenatrace.cli.import_:import_", "Make a trace from kernel text."),
        "summary": (
            "arenatrace.cli.summary:summary",
            "Summarise faults by program and line.",
        ),
        "faults": ("arenatrace.cli.faults:faults", "List every fault with its program and line."),
        "explain": (
            "arenatrace.cli.explain:explain",
            "Explain one fault: cause, page history.",
        ),
        "arenas": ("arenatrace.cli.arenas:arenas", "Show the page states of arenas at one time."),
        "tui": ("arenatrace.cli.tui:tui", "Browse a trace, or a live recording."),
        "replay": (
            "arenatrace.cli.replay:replay",
            "Check a trace against a model of the kernel's arena.",
        ),
        "synth": (
            "arenatrace.cli.synth:synth",
            "Make a synthetic trace with the model.",
        ),
    },
)
@click.version_option(__version__, prog_name="arenatrace")
def arenatrace() -> None:
    """Find which BPF program faulted in its arena, on which line, and why."""


def run(arguments: list[str]) -> int:
    """Run the command line ``arguments`` and return its exit code. User errors do not raise."""
    # A stream that the shell closed (arenatrace summary T >&-) is None.
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115
    if sys.stdout is None:
        return _print_error("standard output is closed", "redirect it to a file", ExitCode.USAGE)
    for stream in (sys.stdout, sys.stderr):
        _escape_unencodable(stream)
    try:
        return _run(arguments)
    except (click.Abort, KeyboardInterrupt):
        return _INTERRUPTED
    except (PipeClosedError, BrokenPipeError):
        _silence_stdout()
        return _PIPE_CLOSED
    except OSError as error:
        _silence_stdout()
        return _print_error(f"{error.filename or 'output'}: {error.strerror}", "", ExitCode.INPUT)
    except Exception as error:
        if os.environ.get("ARENATRACE_TRACEBACK"):
            raise
        return _print_error(
            f"internal error: {type(error).__name__}: {error}".splitlines()[0],
            "please report it with the output of: ARENATRACE_TRACEBACK=1 arenatrace ...",
            ExitCode.INTERNAL,
        )


def _run(arguments: list[str]) -> int:
    try:
        result = arenatrace.main(arguments, prog_name="arenatrace", standalone_mode=False)
        sys.stdout.flush()
    except ArenatraceError as error:
        return _print_error(error.message, error.hint, error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return ExitCode.USAGE
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "arenatrace"
        return _print_error(error.format_message(), f"{path} --help", ExitCode.USAGE)
    except click.ClickException as error:
        return _print_error(error.format_message(), "", ExitCode.USAGE)
    return result if isinstance(result, int) else ExitCode.OK


def _print_error(message: str, hint: str, code: int) -> int:
    click.echo(f"arenatrace: error: {harmless(message)}", err=True)
    if hint:
        click.echo(f"hint: {harmless(hint)}", err=True)
    return code


def _escape_unencodable(stream: IO[str]) -> None:
    """Write characters that the locale cannot encode as escapes instead of raising."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")


def _silence_stdout() -> None:
    """Redirect stdout to /dev/null, so that the flush at exit does not fail again."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
