"""Write docs/man from the command-line parser, or check that it is up to date.

Usage: python docs/generate_man.py [--check]
"""

from __future__ import annotations

import filecmp
import sys
import tempfile
from pathlib import Path

import click
from click_man.core import write_man_pages

from arenatrace import __version__
from arenatrace.cli.app import arenatrace

_MAN = Path(__file__).parent / "man"
#: Date of the release, so that regeneration does not change the pages.
_DATE = "2026-11-21"


def write(target: Path) -> None:
    """Write one page for the program and one for each subcommand."""
    target.mkdir(parents=True, exist_ok=True)
    context = click.Context(arenatrace)
    for name in arenatrace.list_commands(context):
        # The group loads subcommands lazily; the generator reads loaded ones only.
        command = arenatrace.get_command(context, name)
        if command is not None:
            arenatrace.add_command(command, name)
    write_man_pages(
        "arenatrace", arenatrace, version=__version__, target_dir=str(target), date=_DATE
    )


def differing(generated: Path) -> list[str]:
    """Return the names of the pages that differ from the parser's output."""
    names = {page.name for directory in (generated, _MAN) for page in directory.glob("*.1")}
    _same, different, missing = filecmp.cmpfiles(generated, _MAN, sorted(names), shallow=False)
    return different + missing


def main() -> int:
    """Write the pages, or with --check compare them; return 1 if one is out of date."""
    if "--check" not in sys.argv[1:]:
        write(_MAN)
        return 0
    with tempfile.TemporaryDirectory() as directory:
        generated = Path(directory)
        write(generated)
        stale = differing(generated)
    if stale:
        print(f"out of date, run make man: {', '.join(stale)}", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
