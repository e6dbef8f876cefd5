"""The keys of a view and how to read it."""

from __future__ import annotations

from collections.abc import Iterable

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from arenatrace.tui.page_glyphs import GLYPHS

#: How to read each view.
READING = {
    "overview": (
        "Number of faults, causes and completeness of the data; then times, programs and arenas. "
        "A signature is one bug: the same program, function, line, kernel function and cause. "
        "Enter on a signature or a program lists its faults, on an arena it opens the map. "
        "Tab goes from table to table."
    ),
    "faults": (
        "Every fault, in time order unless sorted otherwise; a click on a heading sorts. "
        "c, p, a and s step through causes, programs, arenas and sides; after the last one the "
        "filter is off; / searches titles, source lines, tasks and causes; g groups by signature; "
        "x shows everything again."
    ),
    "fault": (
        "The top shows the source line and the most important evidence: a free if there is one. "
        "The history is a vertical time axis with the fault marked. Save writes the report of "
        "arenatrace explain to a file in the working directory. Copy puts it on the terminal's "
        "clipboard."
    ),
    "map": (
        "A cell is one page or, zoomed out, several. A cell shows the scratch page or a fault if "
        "any of its pages has one. + and - zoom, [ and ] move through time, n and p go to just "
        "before the next or previous fault, . and , step event by event. At full zoom the history "
        "of the page is listed. The state before the recording is unknown, not free."
    ),
    "programs": (
        "Every program, including programs loaded or unloaded during the recording. The details "
        "list its functions and the addresses of their code. Enter lists its faults."
    ),
    "replay": (
        "The model predicts every allocation and fault from the events before. A divergence "
        "is an event that contradicts the model. Enter shows the arena just before it."
    ),
}


class HelpScreen(ModalScreen[None]):
    """Help for one view; any of its keys closes it."""

    BINDINGS = [
        Binding("escape,q,question_mark,enter,space", "app.pop_screen", "Close"),
        Binding("ctrl+c", "app.leave", "Quit", show=False),
    ]

    def __init__(self, view: str, keys: Iterable[tuple[str, str]]) -> None:
        super().__init__()
        self._view = view
        self._lines = list(keys)

    def compose(self) -> ComposeResult:
        """Compose one scrolling text."""
        text = Text(f"{self._view.capitalize()}\n\n", "bold")
        text.append(READING.get(self._view, ""), "not bold")
        text.append("\n\nKeys\n")
        for key, what in self._lines:
            text.append(f"  {key:>12}  ", "cyan").append(f"{what}\n", "not bold")
        if self._view == "map":
            text.append("\nGlyphs\n")
            for look, (glyph, style) in GLYPHS.items():
                text.append(f"  {glyph:>12}", f"not bold {style}").append(f"  {look}\n", "not bold")
        with VerticalScroll(id="help"):
            yield Static(text)
