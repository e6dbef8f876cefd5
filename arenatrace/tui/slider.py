"""A moment on the line of time, with the faults marked."""

from __future__ import annotations

from rich.text import Text
from textual import events
from textual.message import Message
from textual.widget import Widget

_MARGIN = 1


class Slider(Widget):
    """Shows where in the time of the recording the map is; a click goes there."""

    class Picked(Message):
        """A moment was clicked: the share of the time that has passed."""

        def __init__(self, share: float) -> None:
            super().__init__()
            self.share = share

    def __init__(self, *, id: str) -> None:  # noqa: A002
        super().__init__(id=id)
        self._share = 1.0
        self._faults: list[float] = []

    def show(self, share: float, faults: list[float]) -> None:
        """Show a moment and faults, all as shares of the time."""
        self._share, self._faults = share, faults
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        """Go to the moment under the mouse."""
        inner = max(1, self.size.width - 2 * _MARGIN - 1)
        self.post_message(self.Picked(max(0.0, min(1.0, (event.x - _MARGIN) / inner))))

    def render(self) -> Text:
        """The line."""
        inner = max(2, self.size.width - 2 * _MARGIN)
        cells = [("─", "dim")] * inner
        for share in self._faults:
            cells[_cell(share, inner)] = ("✗", "red")
        cells[_cell(self._share, inner)] = ("●", "bold reverse")
        text = Text(" ")
        for glyph, style in cells:
            text.append(glyph, style)
        return text


def _cell(share: float, width: int) -> int:
    return max(0, min(width - 1, round(share * (width - 1))))
