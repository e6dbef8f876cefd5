"""Write docs/man from the command line's own parser, or check that it is up to date.

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
#: The pages carry the date of the release, not of the day they are made: they must not
#: change when nothing did.
_DATE = "2026-11-21"


def write(target: Path) -> None:
    """Write one page for the program and one for each subcommand."""
    target.mkdir(parents=True, exist_ok=True)
    context = click.Context(arenatrace)
    for name in arenatrace.list_commands(context):
        # the group loads subcommands when they run; the generator looks at what is loaded
        command = arenatrace.get_command(context, name)
        if command is not None:
            arenatrace.add_command(command, name)
    write_man_pages(
        "arenatrace", arenatrace, version=__version__, target_dir=str(target), date=_DATE
    )


def differing(made: Path) -> list[str]:
    """Names of the pages that are not what the parser says now."""
    names = {page.name for place in (made, _MAN) for page in place.glob("*.1")}
    _same, different, missing = filecmp.cmpfiles(made, _MAN, sorted(names), shallow=False)
    return different + missing


def main() -> int:
    """Write the pages, or with --check compare them; 1 if any is out of date."""
    if "--check" not in sys.argv[1:]:
        write(_MAN)
        return 0
    with tempfile.TemporaryDirectory() as directory:
        made = Path(directory)
        write(made)
        stale = differing(made)
    if stale:
        print(f"out of date, run make man: {', '.join(stale)}", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
