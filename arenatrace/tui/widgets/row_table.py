"""A table that draws only the visible rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from arenatrace.report.sanitize import harmless

#: Rows measured to find the width of a column.
_SAMPLED = 200
_GAP = "  "
_MARK, _NO_MARK = "▸ ", "  "

#: Text of a cell and its rich style.
Cell = tuple[str, str]
Rows = Callable[[int], Sequence[Cell]]


@dataclass(frozen=True)
class Column:
    """A column of at most ``most`` cells, or of the remaining width if it is ``flexible``.

    On a narrow screen the columns of the lowest ``rank`` are left out first.
    """

    key: str
    heading: str
    most: int = 20
    right: bool = False
    flexible: bool = False
    rank: int = 1


class Grid(Widget, can_focus=True):
    """Rows below a heading, with a cursor; Enter or a second click opens a row."""

    BINDINGS = [
        Binding("enter", "open", "Open"),
        Binding("up", "move(-1)", "Up", show=False),
        Binding("down", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown,space", "page(1)", "Page down", show=False),
        Binding("home", "move(-1000000000)", "First", show=False),
        Binding("end,G", "move(1000000000)", "Last", show=False),
    ]

    class Opened(Message):
        """A row was opened."""

        def __init__(self, grid: Grid, index: int) -> None:
            super().__init__()
            self.grid = grid
            self.index = index

        @property
        def control(self) -> Grid:
            """The table."""
            return self.grid

    class Moved(Message):
        """The cursor moved to another row."""

        def __init__(self, grid: Grid) -> None:
            super().__init__()
            self.grid = grid

        @property
        def control(self) -> Grid:
            """The table."""
            return self.grid

    class HeadingClicked(Message):
        """A heading was clicked."""

        def __init__(self, grid: Grid, key: str) -> None:
            super().__init__()
            self.grid = grid
            self.key = key

        @property
        def control(self) -> Grid:
            """The table."""
            return self.grid

    def __init__(self, columns: Sequence[Column], *, id: str, empty: str = "") -> None:  # noqa: A002
        super().__init__(id=id)
        self._columns = tuple(columns)
        self._empty = empty
        self._rows: Rows = lambda _index: ()
        self._count = 0
        self._cursor = 0
        self._top = 0
        self._widest: tuple[int, ...] = ()
        self._sorted_by = ("", False)

    @property
    def cursor(self) -> int:
        """Index of the row under the cursor; 0 in an empty table."""
        return self._cursor

    @property
    def count(self) -> int:
        """Number of rows."""
        return self._count

    def show(
        self,
        count: int,
        rows: Rows,
        *,
        cursor: int | None = None,
        empty: str | None = None,
        sorted_by: tuple[str, bool] = ("", False),
    ) -> None:
        """Show ``count`` rows; ``rows`` returns the cells of a row when it is drawn."""
        self._rows = rows
        if count != self._count and self.styles.height is not None and self.styles.height.is_auto:
            self.refresh(layout=True)
        self._count = count
        self._sorted_by = sorted_by
        if empty is not None:
            self._empty = empty
        sample = [
            [cell_len(harmless(text)) for text, _ in rows(i)] for i in range(min(count, _SAMPLED))
        ]
        self._widest = tuple(max(column) for column in zip(*sample, strict=True))
        self._go(self._cursor if cursor is None else cursor)

    def heading(self, columns: Sequence[Column]) -> None:
        """Set the columns; ``show`` must follow."""
        self._columns = tuple(columns)

    def get_content_height(self, container: object, viewport: object, width: int) -> int:  # noqa: ARG002
        """Return the number of rows plus one for the heading."""
        return max(1, self._count) + 1

    def action_open(self) -> None:
        """Open the row under the cursor."""
        if self._count:
            self.post_message(self.Opened(self, self._cursor))

    def action_move(self, rows: int) -> None:
        """Move the cursor."""
        self._go(self._cursor + rows)

    def action_page(self, pages: int) -> None:
        """Move the cursor by screens."""
        self._go(self._cursor + pages * max(1, self._visible() - 1))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Scroll and move the cursor with it."""
        event.stop()
        self._go(self._cursor + 3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Scroll and move the cursor with it."""
        event.stop()
        self._go(self._cursor - 3)

    def on_click(self, event: events.Click) -> None:
        """Move the cursor to the row; open it if the cursor was there."""
        if event.y == 0:
            key = self._heading_at(event.x)
            if key:
                self.post_message(self.HeadingClicked(self, key))
            return
        index = self._top + event.y - 1
        if index >= self._count:
            return
        chosen = index == self._cursor
        self._go(index)
        if chosen:
            self.action_open()

    def on_resize(self) -> None:
        """Keep the cursor visible."""
        self._go(self._cursor)

    def _visible(self) -> int:
        return max(1, self.size.height - 1)

    def _go(self, index: int) -> None:
        before = self._cursor
        self._cursor = max(0, min(index, self._count - 1))
        if self._cursor != before:
            self.post_message(self.Moved(self))
        visible = self._visible()
        self._top = max(0, min(self._top, self._cursor, max(0, self._count - visible)))
        self._top = max(self._top, self._cursor - visible + 1)
        self.refresh()

    def _heading_at(self, x: int) -> str:
        left = len(_MARK)
        for column, width in self._layout():
            if left <= x < left + width + len(_GAP):
                return column.key
            left += width + len(_GAP)
        return ""

    def _layout(self) -> list[tuple[Column, int]]:
        """Return the columns that fit, with their widths."""
        widest = self._widest or (0,) * len(self._columns)
        wanted = {
            column.key: column.most
            if column.flexible
            else min(column.most, max(cell_len(column.heading) + 1, wide))
            for column, wide in zip(self._columns, widest, strict=True)
        }
        room = self.size.width - len(_MARK)
        # leave out a column without content
        shown = [
            column
            for column, wide in zip(self._columns, widest, strict=True)
            if wide or not self._count or column.flexible
        ]
        for column in sorted(shown, key=lambda one: one.rank):
            needed = sum(wanted[one.key] + len(_GAP) for one in shown) - len(_GAP)
            if needed <= room or len(shown) == 1:
                break
            shown.remove(column)
        fixed = sum(wanted[one.key] for one in shown if not one.flexible)
        spare = max(1, room - fixed - len(_GAP) * (len(shown) - 1))
        return [(one, spare if one.flexible else wanted[one.key]) for one in shown]

    def render_line(self, y: int) -> Strip:
        """Return the heading, or one row."""
        width = self.size.width
        if y == 0:
            return self._heading_line(width)
        index = self._top + y - 1
        if index >= self._count:
            text = f"  {self._empty}" if y == 1 and not self._count else ""
            return _strip([Segment(text, Style(dim=True))], width, self.rich_style)
        cells = dict(zip((column.key for column in self._columns), self._rows(index), strict=True))
        here = index == self._cursor
        row = Style(reverse=True) if here and self.has_focus else Style(bold=here)
        parts = [Segment(_MARK if here else _NO_MARK, row)]
        for position, (column, size) in enumerate(self._layout()):
            text, style = cells[column.key]
            if position:
                parts.append(Segment(_GAP, row))
            parts.append(
                Segment(_fit(harmless(text), size, column.right), Style.parse(style) + row)
            )
        return _strip(parts, width, self.rich_style, fill=row)

    def _heading_line(self, width: int) -> Strip:
        key, descending = self._sorted_by
        style = Style(bold=True, underline=True)
        parts = [Segment(_NO_MARK, style)]
        for position, (column, size) in enumerate(self._layout()):
            name = column.heading
            if column.key == key:
                name += "↓" if descending else "↑"
            if position:
                parts.append(Segment(_GAP, style))
            parts.append(Segment(_fit(name, size, column.right), style))
        return _strip(parts, width, self.rich_style, fill=style)


def _fit(text: str, width: int, right: bool) -> str:
    """Return ``text`` in exactly ``width`` cells, with a mark where it was cut."""
    size = cell_len(text)
    if size > width:
        return set_cell_size(text, max(0, width - 1)) + "…"
    return " " * (width - size) + text if right else set_cell_size(text, width)


def _strip(parts: list[Segment], width: int, base: Style, fill: Style | None = None) -> Strip:
    strip = Strip(parts).adjust_cell_length(width, fill)
    return strip.apply_style(base)
