"""Console for text reports: a terminal, or 80 plain columns."""

from __future__ import annotations

import io
import os
import re
from typing import IO, cast

from rich.console import Console

#: Width of a report written to a file or a pipe, in columns.
PLAIN_COLUMNS = 80


class _Screen(Console):
    """Console that raises BrokenPipeError; rich would exit with status 1, the one for findings."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        raise BrokenPipeError


class _Trimmed(io.TextIOBase):
    """Text stream that removes the trailing spaces that rich pads lines with."""

    def __init__(self, file: IO[str]) -> None:
        super().__init__()
        self._file = file

    def write(self, text: str) -> int:
        self._file.write(re.sub(r" +$", "", text, flags=re.MULTILINE))
        return len(text)

    def flush(self) -> None:
        self._file.flush()


def screen(file: IO[str]) -> Console:
    """Return a console on ``file`` that interprets no markup or emoji codes and highlights nothing.

    Without a terminal, or with NO_COLOR set, the output is plain text. FORCE_COLOR is ignored
    then.
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
