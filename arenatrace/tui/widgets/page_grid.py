"""Cells of an arena's pages with a cursor, from the whole range down to single pages."""

from __future__ import annotations

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from arenatrace.tui.page_glyphs import GLYPHS, Picture, empty_picture

#: Width of the number of a row's first page.
_LABEL = 10
#: The number of cells in a row is a multiple of this.
_STEP = 16


class PageGrid(Widget, can_focus=True):
    """The picture of an arena; each cell stands for ``scale`` pages."""

    BINDINGS = [
        Binding("left", "move(-1)", "Move", show=False),
        Binding("right", "move(1)", "Move", show=False),
        Binding("up", "row(-1)", "Move", show=False),
        Binding("down", "row(1)", "Move", show=False),
        Binding("pageup", "screen(-1)", "Page up", show=False),
        Binding("pagedown", "screen(1)", "Page down", show=False),
        Binding("home", "first", "First page", show=False),
        Binding("end", "last", "Last page", show=False),
        Binding("plus,equals_sign", "zoom(1)", "In", key_display="+"),
        Binding("minus", "zoom(-1)", "Out", key_display="-"),
    ]

    class Moved(Message):
        """The cursor moved to another page, or a page changed its look."""

    def __init__(self, *, id: str) -> None:  # noqa: A002
        super().__init__(id=id)
        self._picture = empty_picture()
        self._page = 0
        self._scale = 0
        self._first = 0

    @property
    def page(self) -> int:
        """The page under the cursor: the first of its cell."""
        return self._page

    @property
    def scale(self) -> int:
        """Pages per cell."""
        return max(1, self._scale)

    @property
    def in_row(self) -> int:
        """Cells per row."""
        room = max(_STEP, self.size.width - _LABEL)
        return room // _STEP * _STEP

    def show(self, picture: Picture, *, page: int | None = None) -> None:
        """Show ``picture``, with the cursor on ``page`` if one is given.

        A new arena is shown as a whole, a given page at the closest scale.
        """
        other = picture.arena != self._picture.arena or picture.pages != self._picture.pages
        self._picture = picture
        if other or not self._scale:
            self._page, self._first = 0, 0
            self._scale = self._widest()
        if page is not None:
            self._page = page
            self._scale = 1
        self._settle()

    def on_resize(self) -> None:
        """Keep the cursor visible."""
        if self._scale:
            self._scale = min(self._scale, self._widest())
            self._settle()

    def action_move(self, cells: int) -> None:
        """Move along the row."""
        self._page += cells * self.scale
        self._settle()

    def action_row(self, rows: int) -> None:
        """Move by rows."""
        self.action_move(rows * self.in_row)

    def action_screen(self, screens: int) -> None:
        """Move by screens."""
        self.action_row(screens * max(1, self.size.height - 1))

    def action_first(self) -> None:
        """Go to page 0."""
        self._page = 0
        self._settle()

    def action_last(self) -> None:
        """Go to the last page."""
        self._page = self._picture.pages - 1
        self._settle()

    def action_zoom(self, closer: int) -> None:
        """Halve or double the scale."""
        scale = self.scale // 2 if closer > 0 else self.scale * 2
        self._scale = max(1, min(scale, self._widest()))
        self._settle()

    def on_click(self, event: events.Click) -> None:
        """Put the cursor on the clicked cell."""
        cell = event.x - _LABEL
        if 0 <= cell < self.in_row:
            self._page = self._first + (event.y * self.in_row + cell) * self.scale
            self._settle()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Zoom in."""
        event.stop()
        self.action_zoom(1)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Zoom out."""
        event.stop()
        self.action_zoom(-1)

    def _widest(self) -> int:
        """Return the smallest scale that shows the whole range."""
        scale = 1
        room = self.in_row * max(1, self.size.height)
        while scale * room < self._picture.pages:
            scale *= 2
        return scale

    def _settle(self) -> None:
        """Clamp the cursor to the range, and the view to the cursor."""
        last = max(0, self._picture.pages - 1)
        self._page = max(0, min(self._page, last)) // self.scale * self.scale
        row_pages = self.in_row * self.scale
        height = max(1, self.size.height)
        row, top = self._page // row_pages, self._first // row_pages
        top = max(min(top, row), row - height + 1)
        top = max(0, min(top, last // row_pages - height + 1))
        self._first = top * row_pages
        self.post_message(self.Moved())
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """Return one row of cells."""
        width, in_row = self.size.width, self.in_row
        first = self._first + y * in_row * self.scale
        if first >= self._picture.pages:
            return Strip.blank(width, self.rich_style)
        parts = [Segment(f"{first:>{_LABEL - 1},} ", Style(dim=True))]
        cursor = (self._page - first) // self.scale
        for cell, look in enumerate(self._picture.glyph_keys(first, self.scale, in_row)):
            glyph, style = GLYPHS[look]
            drawn = Style.parse(style)
            if cell == cursor and first <= self._page:
                drawn += Style(reverse=True, bold=True)
            parts.append(Segment(glyph, drawn))
        return Strip(parts).adjust_cell_length(width).apply_style(self.rich_style)
