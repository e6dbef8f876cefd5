"""ASCII replacements, cell by cell, for terminals without UTF-8."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

#: States of pages, entries of a history and bars keep distinct glyphs.
_GLYPHS = {
    **dict(zip("█▓▒░·✗", "#%+:.X", strict=True)),
    **dict(zip("●○◌▪⊘■", "*oc=0#", strict=True)),
    **dict(zip("▁▂▃▄▅▆▇", "_.,:;=+", strict=True)),
    **dict(zip("▸◂↑↓→←…━┄", "><^v><~=.", strict=True)),
    # frames, rules and scroll bars, also those of Textual's own widgets
    **dict.fromkeys("─╌┈╴╶▔▀╸╺‾", "-"),
    **dict.fromkeys("│┃┆┊╎▏▎▍▌▋▊▉▐▕║", "|"),
    **dict.fromkeys("┌┐└┘╭╮╰╯├┤┬┴┼╔╗╚╝┏┓┗┛▖▗▘▝▙▛▜▟", "+"),
    **dict(zip("═•", "=*", strict=True)),
    "\N{RIGHT-POINTING MAGNIFYING GLASS}": ">>",
}

#: Textual's sign for a key, and the word for it.
KEY_WORDS = {"⏎": "Enter", "↑": "up", "↓": "down", "←": "left", "→": "right", "⌫": "backspace"}


@lru_cache(maxsize=4096)
def in_ascii(text: str) -> str:
    """Return ``text`` in the same number of cells; unknown glyphs become question marks."""
    if text.isascii():
        return text
    return "".join(
        char if char.isascii() else _GLYPHS.get(char, "?" * cell_len(char)) for char in text
    )


class AsciiFilter(LineFilter):
    """Draw every line in ASCII."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """Return the segments with replaced glyphs."""
        del background
        return [
            Segment(in_ascii(text), style, control) if text else Segment(text, style, control)
            for text, style, control in segments
        ]


def speaks_utf8(environment: Mapping[str, str]) -> bool:
    """Return whether the locale of ``environment`` uses UTF-8, by the rules of setlocale(3)."""
    for name in ("LC_ALL", "LC_CTYPE", "LANG"):
        value = environment.get(name, "")
        if value:
            charset = value.partition(".")[2].partition("@")[0]
            return charset.lower().replace("-", "") == "utf8"
    return False


def environment_at_start() -> Mapping[str, str]:
    """Return the environment that this process was started with.

    ``os.environ`` differs: where the locale is C, Python changes it (PEP 538).
    """
    try:
        data = Path("/proc/self/environ").read_bytes()
    except OSError:
        return {}
    pairs = (part.partition("=") for part in data.decode(errors="replace").split("\0"))
    return {name: value for name, _, value in pairs if name}
