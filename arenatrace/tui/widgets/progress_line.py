"""The present computation and its progress."""

from __future__ import annotations

from rich.text import Text
from textual.widget import Widget

from arenatrace.report.sanitize import harmless
from arenatrace.tui.snapshot import Snapshot

_BAR = 30


class ProgressLine(Widget):
    """One line, visible only while something is computed."""

    def __init__(self, *, id: str) -> None:  # noqa: A002
        super().__init__(id=id)
        self._text = Text()

    def show(self, snapshot: Snapshot) -> None:
        """Draw the stage of ``snapshot``, or hide."""
        self.display = bool(snapshot.stage)
        text = Text(f" {harmless(snapshot.stage)} ", "bold")
        if snapshot.progress is not None:
            full = round(_BAR * max(0.0, min(1.0, snapshot.progress)))
            text.append("━" * full, "green").append("─" * (_BAR - full), "dim")
            text.append(f" {snapshot.progress:4.0%}")
        self._text = text
        self.refresh()

    def render(self) -> Text:
        """Return the line."""
        return self._text
