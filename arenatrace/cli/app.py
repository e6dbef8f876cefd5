"""The group of subcommands, and the one place where errors become text and exit codes."""

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
  arenatrace summary run.atrace                       # how bad, who, where
  arenatrace faults run.atrace                        # each fault
  arenatrace faults run.atrace --json | jq .source    # the same for programs
\b
Exit codes:
  0 fine, 1 faults found, 2 usage, 3 unreadable input,
  4 inconclusive because events were lost, 5 not possible on this machine,
  70 a fault of arenatrace itself
"""


@click.group(
    cls=LazyGroup,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 79},
    lazy={
        "record": ("arenatrace.cli.record:record", "Record arena faults of the running kernel."),
        "doctor": ("arenatrace.cli.doctor:doctor", "Can this machine record, and what is missing?"),
        "import": ("arenatrace.cli.import_:import_", "Make a trace from text of the kernel."),
        "summary": ("arenatrace.cli.summary:summary", "How bad is it, who did it, and where?"),
        "faults": ("arenatrace.cli.faults:faults", "List every fault with its program and line."),
        "explain": ("arenatrace.cli.explain:explain", "Explain one fault: why, and what then?"),
        "arenas": ("arenatrace.cli.arenas:arenas", "Which pages of an arena are in use, and how?"),
        "tui": ("arenatrace.cli.tui:tui", "Look through a trace on the terminal."),
        "replay": (
            "arenatrace.cli.replay:replay",
            "Check a trace against a model of the kernel's arena.",
        ),
        "synth": (
            "arenatrace.cli.synth:synth",
            "Make a trace with the model of the kernel's arena.",
        ),
    },
)
@click.version_option(__version__, prog_name="arenatrace")
def arenatrace() -> None:
    """Which BPF program faulted in its arena, on which line, and why."""


def run(arguments: list[str]) -> int:
    """Run the command line ``arguments`` and return its exit code; nothing a user does raises."""
    # a stream that was closed before the start (arenatrace summary T >&-) is None
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115
    if sys.stdout is None:
        return _complain("standard output is closed", "give it somewhere to go", ExitCode.USAGE)
    for stream in (sys.stdout, sys.stderr):
        _never_fail_to_encode(stream)
    try:
        return _run(arguments)
    except (click.Abort, KeyboardInterrupt):
        return _INTERRUPTED
    except (PipeClosedError, BrokenPipeError):
        _silence_stdout()
        return _PIPE_CLOSED
    except OSError as error:
        _silence_stdout()
        return _complain(f"{error.filename or 'output'}: {error.strerror}", "", ExitCode.INPUT)
    except Exception as error:
        if os.environ.get("ARENATRACE_TRACEBACK"):
            raise
        return _complain(
            f"internal error: {type(error).__name__}: {error}".splitlines()[0],
            "please report it, with what this prints: ARENATRACE_TRACEBACK=1 arenatrace ...",
            ExitCode.INTERNAL,
        )


def _run(arguments: list[str]) -> int:
    try:
        result = arenatrace.main(arguments, prog_name="arenatrace", standalone_mode=False)
        sys.stdout.flush()
    except ArenatraceError as error:
        return _complain(error.message, error.hint, error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return ExitCode.USAGE
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "arenatrace"
        return _complain(error.format_message(), f"{path} --help", ExitCode.USAGE)
    except click.ClickException as error:
        return _complain(error.format_message(), "", ExitCode.USAGE)
    return result if isinstance(result, int) else ExitCode.OK


def _complain(message: str, hint: str, code: int) -> int:
    click.echo(f"arenatrace: error: {harmless(message)}", err=True)
    if hint:
        click.echo(f"hint: {harmless(hint)}", err=True)
    return code


def _never_fail_to_encode(stream: IO[str]) -> None:
    """Let a name that the locale cannot encode be shown as an escape instead of raising."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")


def _silence_stdout() -> None:
    """Keep the interpreter's flush at exit from failing a second time."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
