"""Where text reports go: a terminal, or 80 plain columns."""

from __future__ import annotations

import io
import os
import re
from typing import IO, cast

from rich.console import Console

#: Columns of a report that goes to a file or a pipe.
PLAIN_COLUMNS = 80


class _Screen(Console):
    """Leaves a closed pipe to the command line; rich would exit with the code for findings."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        raise BrokenPipeError


class _Trimmed(io.TextIOBase):
    """Passes text on without the spaces rich pads lines with; nobody wants them in a file."""

    def __init__(self, file: IO[str]) -> None:
        super().__init__()
        self._file = file

    def write(self, text: str) -> int:
        self._file.write(re.sub(r" +$", "", text, flags=re.MULTILINE))
        return len(text)

    def flush(self) -> None:
        self._file.flush()


def screen(file: IO[str]) -> Console:
    """A console on ``file`` that never reads markup, emoji codes or highlights in its text.

    Off a terminal, and under NO_COLOR, nothing but text is written, whatever FORCE_COLOR says.
    """
    terminal = file.isatty()
    plain = not terminal or bool(os.environ.get("NO_COLOR"))
    return _Screen(
        file=file if terminal else cast(IO[str], _Trimmed(file)),
        force_terminal=False if plain else None,
        color_system=None if plain else "auto",
        width=None if terminal else PLAIN_COLUMNS,
        markup=False,
        emoji=False,
        highlight=False,
    )
