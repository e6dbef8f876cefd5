"""The result of the replay: verdict, evidence, and every divergent event."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Static

from arenatrace.report.sanitize import harmless
from arenatrace.report.units import since
from arenatrace.tui.snapshot import Snapshot
from arenatrace.tui.widgets.row_table import Cell, Column, Grid

_COLUMNS = (
    Column("seq", "seq", 12, right=True, rank=7),
    Column("time", "time", 16, right=True, rank=4),
    Column("kind", "event", 14, rank=6),
    Column("page", "page", 9, right=True, rank=3),
    Column("expected", "expected", 30, rank=5),
    Column("observed", "observed", 30, rank=5),
    Column("explanation", "why", 24, flexible=True, rank=8),
)
_STYLES = {"consistent": "bold green", "divergent": "bold red", "inconclusive": "bold yellow"}
_COUNTS = (
    ("events", "events"),
    ("checked", "checked against a known state"),
    ("predicted_addresses", "addresses predicted"),
    ("unknown", "not checked: state unknown"),
    ("reordered", "applied in another order"),
    ("divergence_count", "divergent"),
)


class ReplayView(Vertical):
    """The verdict; Enter shows the arena just before a divergent event."""

    class Chosen(Message):
        """A divergence was opened."""

        def __init__(self, divergence: Mapping[str, Any]) -> None:
            super().__init__()
            self.divergence = divergence

    def __init__(self, *, id: str) -> None:  # noqa: A002
        super().__init__(id=id)
        self._rows: list[dict[str, Any]] = []
        self._start_ns = 0

    def compose(self) -> ComposeResult:
        """Compose the verdict and the table."""
        yield Static(id="verdict")
        yield Grid(_COLUMNS, id="divergences")

    def show(self, snapshot: Snapshot) -> None:
        """Draw the verdict of ``snapshot``."""
        verdict = snapshot.verdict
        self._start_ns = snapshot.meta.start_ts_ns
        self._rows = list(verdict.found.get("divergences", ()))
        self.query_one("#verdict", Static).update(Text("\n").join(_lines(snapshot)))
        empty = "no divergent event" if verdict.state == "done" else ""
        self.query_one(Grid).show(
            len(self._rows), lambda i: self._cells(self._rows[i]), empty=empty
        )

    def _cells(self, row: Mapping[str, Any]) -> list[Cell]:
        return [
            (str(row["seq"]), "dim"),
            (since(row["ts_ns"], self._start_ns), ""),
            (str(row["kind"]), "bold"),
            ("" if row["page"] is None else str(row["page"]), ""),
            (str(row["expected"]), "green"),
            (str(row["observed"]), "red"),
            (str(row["explanation"]), ""),
        ]

    def on_grid_opened(self, message: Grid.Opened) -> None:
        """Open the event."""
        message.stop()
        self.post_message(self.Chosen(self._rows[message.index]))


def _lines(snapshot: Snapshot) -> Iterator[Text]:
    verdict = snapshot.verdict
    if verdict.state == "running":
        yield Text("replaying the trace …", "bold")
        return
    if verdict.state == "failed":
        yield Text(f"no verdict: {harmless(verdict.reason)}", "bold yellow")
        return
    if verdict.state != "done":
        yield Text("not replayed: a trace is replayed once its recording has ended", "dim")
        return
    found = verdict.found
    word = str(found["verdict"])
    yield Text.assemble(
        (word.upper(), _STYLES.get(word, "bold")), f"  profile {harmless(str(found['profile']))}"
    )
    for reason in found.get("profile_evidence", ()):
        yield Text(f"  because {harmless(str(reason))}", "dim")
    for reason in found.get("reasons", ()):
        yield Text(f"  {harmless(str(reason))}", "yellow")
    counts = (f"{found[name]:,} {what}" for name, what in _COUNTS if found.get(name))
    yield Text("  " + ", ".join(counts))
