"""Texts of the map: the arena, and the cell under the cursor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.text import Text

from arenatrace.analysis.pages.positions import END, Position
from arenatrace.report.sanitize import harmless
from arenatrace.report.units import address, size
from arenatrace.schema import PAGE_SIZE
from arenatrace.tui import labels
from arenatrace.tui.page_glyphs import GLYPHS, Picture
from arenatrace.tui.snapshot import Row
from arenatrace.tui.widgets.page_grid import PageGrid
from arenatrace.tui.widgets.timeline import timeline


def arena_line(arena: Row | None, scale: int, position: str, busy: str) -> Text:
    """Return name and size of an arena, the position, the scale, and the running computation."""
    if arena is None:
        return Text("no arena in this trace", "dim")
    cell = "1 page" if scale == 1 else f"{scale:,} pages"
    parts = [
        Text(harmless(arena["name"] or "unnamed"), "bold"),
        Text(size(arena["max_entries"], PAGE_SIZE)),
        Text(position),
        Text(f"a cell is {cell}"),
    ]
    if busy:
        parts.append(Text(harmless(busy), "bold"))
    return labels.joined(parts)


def cell_text(picture: Picture, grid: PageGrid) -> Text:
    """Return the content of the cell under the cursor, and the totals of the arena."""
    first, last = grid.page, min(grid.page + grid.scale, picture.pages) - 1
    text = Text.assemble((f"pages {first:,}-{last:,}", "bold"))
    text.append(f" of {picture.pages:,}\n\n{'':2}{'here':>9} {'total':>9}\n", "dim")
    here, every = picture.counts(first, last), picture.counts()
    for name, number in here.items():
        glyph, style = GLYPHS[name]
        text.append(f"{glyph} ", style).append(f"{number:>9,} ")
        text.append(f"{every[name]:>9,} ", "dim").append(f"{name}\n")
    return text.append("\n+ zooms in, to single pages", "dim")


def page_text(
    picture: Picture, arena: Row, page: int, history: Sequence[dict[str, Any]] | None, room: int
) -> Text:
    """Return state, address and ``room`` lines of the page's history; None: still queried."""
    glyph, style = GLYPHS[picture.state(page)]
    text = Text.assemble(
        (f"page {page:,}", "bold"), "  ", (glyph, style), f" {picture.state(page)}"
    )
    if arena["user_vm_start"]:
        start = address(int(arena["user_vm_start"], 16) + page * PAGE_SIZE)
        text.append(f"\n{start}", "dim")
    text.append("\n\n")
    if history is None:
        return text.append("…", "dim")
    for line in _history_lines(history, picture.position, room):
        text.append_text(line).append("\n")
    return text


def _history_lines(history: Sequence[dict[str, Any]], position: Position, room: int) -> list[Text]:
    """Return ``room`` lines of a page's history, with ``position`` marked."""
    if not history:
        return [Text("nothing recorded about this page", "dim")]
    # times are relative to the position of the map, if one is chosen
    zero = position[0] if position != END else (history[-1]["ts_ns"] or 0)
    done = sum((entry["ts_ns"], entry["seq"]) < position for entry in history)
    start = max(0, min(done - room * 2 // 3, len(history) - room))
    shown = [
        {**entry, "at_ns": None if entry["at_ns"] is None else entry["ts_ns"] - zero}
        for entry in history[start : start + room]
    ]
    lines = list(timeline(shown, 0, None))
    if position != END:
        lines.insert(done - start, Text("───── time shown on the map ─────", "bold"))
    if len(history) > room:
        lines.append(Text(f"{len(history) - room:,} more entries", "dim"))
    return lines
