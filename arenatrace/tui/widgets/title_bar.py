"""The first line: the open trace, and the views."""

from __future__ import annotations

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Static

from arenatrace.report.sanitize import harmless
from arenatrace.tui.snapshot import Recording, Snapshot

#: Views by their keys.
VIEWS = {"1": "overview", "2": "faults", "3": "map", "4": "programs", "5": "replay"}
#: Views that are shown under another view's tab.
_STANDS_FOR = {"fault": "faults"}


class Tab(Static):
    """Name and key of a view; a click opens it."""

    class Chosen(Message):
        """The view was clicked."""

        def __init__(self, view: str) -> None:
            super().__init__()
            self.view = view

    def __init__(self, key: str, view: str) -> None:
        super().__init__(Text.assemble((key, "bold"), f" {view.capitalize()}"), id=f"tab-{view}")
        self._view = view

    def on_click(self, event: events.Click) -> None:
        """Open the view."""
        event.stop()
        self.post_message(self.Chosen(self._view))


class TitleBar(Horizontal):
    """Name of the trace or state of the recording on the left, views on the right."""

    def compose(self) -> ComposeResult:
        """Compose the name and the tabs."""
        yield Static(id="name")
        for key, view in VIEWS.items():
            yield Tab(key, view)

    def show(self, snapshot: Snapshot) -> None:
        """Draw the name."""
        text = Text(no_wrap=True, overflow="ellipsis")
        if snapshot.recording is not None:
            text.append_text(_recording(snapshot.recording))
        else:
            text.append(harmless(snapshot.path.name), "bold")
        self.query_one("#name", Static).update(text)

    def mark(self, view: str) -> None:
        """Mark the tab of ``view``."""
        for tab in self.query(Tab):
            tab.set_class(tab.id == f"tab-{_STANDS_FOR.get(view, view)}", "-here")


def _recording(recording: Recording) -> Text:
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append("● " if recording.running else "■ ", "bold red" if recording.running else "dim")
    text.append(harmless(recording.state), "bold")
    if recording.running and recording.elapsed_s:
        text.append(f" {recording.elapsed_s:.0f} s, {recording.events_per_s:,.0f}/s", "")
    return text
