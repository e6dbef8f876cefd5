"""Time axis with the position of the map and the faults."""

from __future__ import annotations

from rich.text import Text
from textual import events
from textual.message import Message
from textual.widget import Widget

_MARGIN = 1


class Slider(Widget):
    """Position of the map in the recording; a click selects another one."""

    class Picked(Message):
        """A click on the axis; ``share`` is the elapsed share of the time span."""

        def __init__(self, share: float) -> None:
            super().__init__()
            self.share = share

    def __init__(self, *, id: str) -> None:  # noqa: A002
        super().__init__(id=id)
        self._share = 1.0
        self._before = ""
        self._faults: list[float] = []

    def show(self, share: float, faults: list[float], before: str = "") -> None:
        """Show a position and faults, all as shares of the time span, 0 to 1.

        ``before`` describes the evicted time; empty if nothing is evicted.
        """
        self._share, self._faults, self._before = share, faults, before
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        """Go to the clicked position."""
        left = self._left()
        inner = max(1, self.size.width - len(left) - _MARGIN - 1)
        self.post_message(self.Picked(max(0.0, min(1.0, (event.x - len(left)) / inner))))

    def _left(self) -> str:
        return f" ◂ {self._before} " if self._before else " " * _MARGIN

    def render(self) -> Text:
        """Return the line."""
        left = self._left()
        inner = max(2, self.size.width - len(left) - _MARGIN)
        cells = [("─", "dim")] * inner
        for share in self._faults:
            cells[_cell(share, inner)] = ("✗", "red")
        cells[_cell(self._share, inner)] = ("●", "bold reverse")
        text = Text(left, "yellow" if self._before else "")
        for glyph, style in cells:
            text.append(glyph, style)
        return text


def _cell(share: float, width: int) -> int:
    return max(0, min(width - 1, round(share * (width - 1))))
