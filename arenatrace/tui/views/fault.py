"""View of one fault: banner, then the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl
from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container, Vertical, VerticalScroll
from textual.message import Message
from textual.widgets import Static
from textual.worker import Worker, WorkerState

from arenatrace.errors import ArenatraceError
from arenatrace.report.explain_text import explanation_lines
from arenatrace.report.sanitize import harmless
from arenatrace.tui.saved_report import write_new
from arenatrace.tui.snapshot import Snapshot
from arenatrace.tui.views.fault_sections import (
    RIGHT,
    banner,
    joined,
    parts,
    preliminary,
    section_position,
)

#: Width from which the text has two columns.
_WIDE = 116
#: Width of a row of the map.
_MAP_COLUMNS = 68

Explain = Callable[[int], Mapping[str, Any] | None]


class FaultView(Vertical):
    """The report of one fault, completed while it is computed."""

    BINDINGS = [
        Binding("n", "same(1)", "Next alike"),
        Binding("p", "same(-1)", "Previous alike", show=False),
        Binding("right_square_bracket", "listed(1)", "Next", key_display="]"),
        Binding("left_square_bracket", "listed(-1)", "Previous", key_display="["),
        Binding("m", "map", "Map"),
        Binding("y", "copy", "Copy"),
        Binding("w", "write", "Save"),
    ]

    class MapWanted(Message):
        """Request to show the fault on the map of its arena."""

        def __init__(self, row: Mapping[str, Any]) -> None:
            super().__init__()
            self.row = row

    def __init__(self, explain: Explain, *, id: str) -> None:  # noqa: A002
        super().__init__(id=id)
        self._explain = explain
        self._snapshot: Snapshot | None = None
        self._number: int | None = None
        self._list: pl.Series = pl.Series([], dtype=pl.UInt32)
        self._report: Mapping[str, Any] | None = None
        self._failed = ""

    def compose(self) -> ComposeResult:
        """Compose the fixed banner and the scrolling report."""
        yield Static(id="banner")
        with VerticalScroll(id="story"), Container(id="columns"):
            yield Static(id="left")
            yield Static(id="right")

    @property
    def number(self) -> int | None:
        """Number of the fault on the screen."""
        return self._number

    def show(self, snapshot: Snapshot) -> None:
        """Update from ``snapshot``; reload the open fault when causes become known."""
        before = self._snapshot
        self._snapshot = snapshot
        if self._number is None or before is None:
            return
        if before.explained != snapshot.explained:
            self.open(self._number, self._list)
        elif before.faults is not snapshot.faults:
            self._draw()

    def open(self, number: int, listed: pl.Series) -> None:
        """Show fault ``number`` of the list ``listed``."""
        self._number, self._list = number, listed
        self._report = None
        self._failed = ""
        self.query_one("#story", VerticalScroll).scroll_home(animate=False)
        self._draw()
        explain = self._explain
        self.run_worker(lambda: (number, _try(explain, number)), thread=True, exclusive=True)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Draw the finished report."""
        event.stop()
        if event.state is not WorkerState.SUCCESS:
            return
        result: Any = event.worker.result
        number, (report, failed) = result
        if number == self._number:
            self._report, self._failed = report, failed
            self._draw()

    def on_resize(self, _event: events.Resize) -> None:
        """Wrap the text again."""
        self._draw()

    def _row(self) -> dict[str, Any] | None:
        if self._snapshot is None or self._snapshot.faults is None or self._number is None:
            return None
        found = self._snapshot.faults.filter(pl.col("fault") == self._number)
        return found.row(0, named=True) if len(found) else None

    def _draw(self) -> None:
        row = self._row()
        if row is None or self._snapshot is None:
            self.query_one("#banner", Static).update(Text("no fault is open", "dim"))
            return
        width = self.size.width or 80
        wide = width >= _WIDE
        rest = max(_MAP_COLUMNS, width // 2)
        now = preliminary(self._snapshot, row)
        # faults may have been added since the report was made
        counts = {name: now[name] for name in ("total", "same_signature")}
        report = {**(self._report or now), **counts}
        self.query_one("#banner", Static).update(banner(report, width))
        self.query_one("#columns").set_class(wide, "-two")
        left_columns = width - rest - 3 if wide else width - 4
        right_columns = rest - 4 if wide else width - 4
        texts = dict(parts(report, left_columns, right_columns, self._report is None, self._failed))
        self.query_one("#right").styles.width = rest if wide else "1fr"
        order = sorted(texts, key=lambda title: section_position(title, list(texts)))
        right = [title for title in order if wide and title in RIGHT]
        left = [title for title in order if title not in right]
        self.query_one("#left", Static).update(joined(texts, left))
        self.query_one("#right", Static).update(joined(texts, right))
        self.query_one("#right").display = bool(right)

    def action_same(self, step: int) -> None:
        """Go to the next or previous fault of the same signature."""
        row = self._row()
        if row is None or self._snapshot is None or self._snapshot.faults is None:
            return
        alike = self._snapshot.faults.filter(pl.col("signature") == row["signature"])
        self._step(alike["fault"], step, "of this signature")

    def action_listed(self, step: int) -> None:
        """Go to the next or previous fault of the list."""
        self._step(self._list, step, "in the list")

    def _step(self, numbers: pl.Series, step: int, where: str) -> None:
        at = numbers.index_of(self._number)
        after = None if at is None else at + step
        if after is None or not 0 <= after < len(numbers):
            self.notify(f"no {'later' if step > 0 else 'earlier'} fault {where}")
            return
        self.open(numbers[after], self._list)

    def action_map(self) -> None:
        """Show the fault on the map."""
        row = self._row()
        if row is None or row["arena"] is None or row["page"] is None:
            self.notify("its address is in no known arena", severity="warning")
            return
        self.post_message(self.MapWanted(row))

    def report(self) -> str | None:
        """The text of ``arenatrace explain``; None while it is computed."""
        if self._report is None:
            return None
        return "".join(f"{line.plain}\n" for line in explanation_lines(self._report))

    def action_copy(self) -> None:
        """Copy the report to the terminal's clipboard."""
        report = self.report()
        if report is None:
            self.notify("still being computed", severity="warning")
            return
        self.app.copy_to_clipboard(report)
        self.notify("copied to the clipboard, if the terminal supports OSC 52")

    def action_write(self) -> None:
        """Save the report to a new file in the working directory."""
        report = self.report()
        if report is None or self._snapshot is None:
            self.notify("still being computed", severity="warning")
            return
        stem = f"{self._snapshot.path.name.removesuffix('.atrace')}-fault-{self._number}"
        try:
            path = write_new(Path(), stem, report)
        except OSError as error:
            self.notify(f"not saved: {error.strerror or error}", severity="error", markup=False)
            return
        self.notify(f"saved as {harmless(path.name)}", markup=False)


def _try(explain: Explain, number: int) -> tuple[Mapping[str, Any] | None, str]:
    try:
        return explain(number), ""
    except ArenatraceError as error:
        return None, error.message
