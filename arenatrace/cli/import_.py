"""arenatrace import: make a trace from fault reports in kernel text."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from arenatrace.errors import ArenatraceError
from arenatrace.schema import PAGE_SIZE

if TYPE_CHECKING:
    from arenatrace.importers.importing import Result
    from arenatrace.importers.input_text import Text

_EPILOG = """\b
Examples:
  bpftool prog tracelog stderr id 42 > touch.txt
  arenatrace import touch.txt                 # makes touch.atrace
  journalctl -k -o short-monotonic | arenatrace import - -o boot.atrace
  arenatrace import scx.log.gz old.log.zst -o both.atrace
  arenatrace faults touch.atrace              # then read it
\b
Exit code: 0 if the text was read. Text without a report makes no trace,
with a warning. 3 if the input is empty or not text.
"""

_SUFFIXES = (".gz", ".zst", ".zstd", ".txt", ".log", ".text")


def _page_address(_: click.Context, __: click.Parameter, value: str | None) -> int | None:
    """Parse the 64-bit address of a page in hex."""
    if value is None:
        return None
    try:
        number = int(value, 16)
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is not an address in hex") from error
    if number % PAGE_SIZE or not 0 <= number < 1 << 64:
        raise click.BadParameter(f"{value!r} is not a page-aligned 64-bit address")
    return number


@click.command("import", epilog=_EPILOG)
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path())
@click.option(
    "-o",
    "--output",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Trace directory to create.  [default: name of the first FILE with .atrace, here]",
)
@click.option(
    "--user-vm-start",
    metavar="ADDRESS",
    callback=_page_address,
    help="User address of page 0 of the arena. No text has it; with it, page numbers are known.",
)
@click.option(
    "--show-unparsed", is_flag=True, help="Print the lines outside every report to stdout."
)
def import_(
    files: tuple[str, ...], output: Path | None, user_vm_start: int | None, show_unparsed: bool
) -> None:
    """Make a trace from kernel text.

    FILE is text from a program's stderr stream, a sched_ext scheduler, dmesg
    or the journal, plain or compressed with gzip or zstd; - is standard
    input. The format is detected. Facts that the text lacks, for example
    times in a stream, are unknown in the trace.
    """
    from arenatrace.cli.common import print_warnings
    from arenatrace.importers.importing import import_texts

    path = output or Path(_default_name(files[0]))
    with ExitStack() as opened:
        result = import_texts(
            [_open(name, opened) for name in files],
            path,
            user_vm_start=user_vm_start,
            on_unparsed=_print_unparsed if show_unparsed else None,
        )
    print_warnings([*result.warnings, *_closing_lines(result)])


def _default_name(file: str) -> str:
    name = "stdin" if file == "-" else Path(file).name
    while name.lower().endswith(_SUFFIXES) and Path(name).stem:
        name = Path(name).stem
    return f"{name}.atrace"


def _open(name: str, opened: ExitStack) -> Text:
    from arenatrace.importers.input_text import Text

    if name == "-":
        return Text("stdin", sys.stdin.buffer)
    try:
        return Text(name, opened.enter_context(Path(name).open("rb")))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ArenatraceError(f"{name}: {reason}", "give text files, or - for stdin") from error


def _print_unparsed(name: str, number: int, text: str) -> None:
    from arenatrace.report.sanitize import harmless

    click.echo(f"{harmless(name)}:{number}: {harmless(text)}")


def _closing_lines(result: Result) -> list[str]:
    from arenatrace.report.units import count

    lines = [
        f"{text.name}: {text.format}: {count(text.faults, 'fault')} in "
        f"{count(text.lines, 'line')}, {text.unparsed:,} outside reports"
        for text in result.texts
    ]
    if result.path is None:
        return [*lines, "no reports found; no trace written"]
    return [*lines, f"wrote {result.path}; see: arenatrace faults {result.path}"]
