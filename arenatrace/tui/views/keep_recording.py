"""Question whether to keep a recording without faults."""

from __future__ import annotations

from pathlib import Path

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.screen import ModalScreen
from textual.widgets import Static

from arenatrace.report.sanitize import harmless


class KeepRecordingScreen(ModalScreen[bool | None]):
    """Return True to keep the trace, False to delete it, None to continue."""

    BINDINGS = [
        Binding("k,y", "answer(True)", "Keep"),
        Binding("d,n,q", "answer(False)", "Delete"),
        Binding("escape", "answer(None)", "Go on"),
    ]

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def compose(self) -> ComposeResult:
        """Compose the question."""
        text = Text("No fault was recorded. Keep the trace?\n\n", "bold")
        text.append(f"{harmless(str(self._path))}\n\n", "not bold")
        for key, what in (("k", "keep it"), ("d", "delete it"), ("esc", "go on recording")):
            text.append(f"  {key:>4}  ", "cyan").append(f"{what}\n", "not bold")
        yield Static(text, id="question")

    def action_answer(self, answer: bool | None) -> None:
        """Return the answer."""
        self.dismiss(answer)
