"""The history of a page as lines, with the fault in the middle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.text import Text

from arenatrace.report.explain_text import history_entry, relative

#: First word of an entry to its mark and colour.
_MARKS = (
    ("allocated", "●", "green"),
    ("mapped", "●", "green"),
    ("freed", "○", "red"),
    ("free queued", "◌", "red"),
    ("reserved", "▪", "blue"),
    ("fault", "✗", "yellow"),
    ("SIGSEGV", "!", "magenta"),
    ("allocation refused", "⊘", "magenta"),
)


def timeline(
    history: Sequence[Mapping[str, Any]], earlier: int, here: int | None
) -> Iterator[Text]:
    """Return a line for each entry of ``history``; ``here`` is the number of the fault."""
    if earlier:
        entries = "entry" if earlier == 1 else "entries"
        yield Text(f"{'':13}┆  {earlier:,} {entries} not shown", "dim")
    for entry in history:
        at = "" if entry["at_ns"] is None else relative(entry["at_ns"])
        mark, style = _mark(entry["what"] or "")
        now = here is not None and entry["fault"] == here
        what, who = history_entry(entry)
        yield Text.assemble(
            (f"{'▸' if now else ' '}{at:>11} ", "bold" if now else "dim"),
            (f"{mark}  ", style),
            (what, f"bold {style}" if now else style),
            (who, "dim"),
        )


def _mark(what: str) -> tuple[str, str]:
    for beginning, mark, style in _MARKS:
        if what.startswith(beginning):
            return mark, style
    return "·", ""
