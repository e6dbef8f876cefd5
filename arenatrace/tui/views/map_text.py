"""What the map says of the cell under its cursor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.text import Text

from arenatrace.analysis.pages.positions import END, Position
from arenatrace.report.units import address
from arenatrace.schema import PAGE_SIZE
from arenatrace.tui.picture import GLYPHS, Picture
from arenatrace.tui.snapshot import Row
from arenatrace.tui.widgets.page_grid import PageGrid
from arenatrace.tui.widgets.timeline import timeline


def cell_text(picture: Picture, grid: PageGrid) -> Text:
    """What is in the cell under the cursor, and beside it what is in the whole arena."""
    first, last = grid.page, min(grid.page + grid.scale, picture.pages) - 1
    text = Text.assemble((f"pages {first:,}-{last:,}", "bold"))
    text.append(f" of {picture.pages:,}\n\n{'':2}{'here':>9} {'in all':>9}\n", "dim")
    here, every = picture.counts(first, last), picture.counts()
    for name, number in here.items():
        glyph, style = GLYPHS[name]
        text.append(f"{glyph} ", style).append(f"{number:>9,} ")
        text.append(f"{every[name]:>9,} ", "dim").append(f"{name}\n")
    return text.append("\n+ zooms in, to single pages", "dim")


def page_text(
    picture: Picture, arena: Row, page: int, story: Sequence[dict[str, Any]] | None, room: int
) -> Text:
    """State, address and ``room`` lines of the history of ``page``; None: being looked up."""
    glyph, style = GLYPHS[picture.state(page)]
    text = Text.assemble(
        (f"page {page:,}", "bold"), "  ", (glyph, style), f" {picture.state(page)}"
    )
    if arena["user_vm_start"]:
        place = address(int(arena["user_vm_start"], 16) + page * PAGE_SIZE)
        text.append(f"\n{place}", "dim")
    text.append("\n\n")
    if story is None:
        return text.append("…", "dim")
    for line in _story_lines(story, picture.moment, room):
        text.append_text(line).append("\n")
    return text


def _story_lines(story: Sequence[dict[str, Any]], moment: Position, room: int) -> list[Text]:
    """``room`` lines of a page's history, with ``moment`` marked."""
    if not story:
        return [Text("nothing recorded about this page", "dim")]
    # times are told from the moment of the map, where one is chosen
    zero = moment[0] if moment != END else (story[-1]["ts_ns"] or 0)
    done = sum((entry["ts_ns"], entry["seq"]) < moment for entry in story)
    start = max(0, min(done - room * 2 // 3, len(story) - room))
    shown = [
        {**entry, "at_ns": None if entry["at_ns"] is None else entry["ts_ns"] - zero}
        for entry in story[start : start + room]
    ]
    lines = list(timeline(shown, 0, None))
    if moment != END:
        lines.insert(done - start, Text("──────── the moment shown ────────", "bold"))
    if len(story) > room:
        lines.append(Text(f"{len(story) - room:,} more entries", "dim"))
    return lines
