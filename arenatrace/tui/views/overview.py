"""The first screen: number of faults, programs, causes, time, warnings."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Container, Vertical
from textual.message import Message
from textual.widgets import Static

from arenatrace.report.sanitize import harmless
from arenatrace.report.units import size
from arenatrace.schema import PAGE_SIZE
from arenatrace.tui import labels
from arenatrace.tui.snapshot import Row, Snapshot
from arenatrace.tui.widgets.histogram import Histogram
from arenatrace.tui.widgets.row_table import Cell, Column, Grid

#: Warnings shown; the rest are counted.
_MAX_WARNINGS = 3

_SIGNATURES = (
    Column("count", "faults", 11, right=True, rank=5),
    Column("oopses", "oopses", 8, right=True, rank=2),
    Column("cause", "cause", 18, rank=4),
    Column("title", "access", 40, flexible=True, rank=6),
)
_PROGRAMS = (
    Column("faults", "faults", 11, right=True, rank=5),
    Column("name", "program", 16, flexible=True, rank=6),
    Column("type", "type", 12, rank=1),
    Column("causes", "causes", 34, rank=2),
)
_ARENAS = (
    Column("faults", "faults", 11, right=True, rank=5),
    Column("name", "arena", 14, flexible=True, rank=6),
    Column("size", "size", 22, rank=2),
    Column("allocs", "allocs", 11, right=True, rank=1),
    Column("frees", "frees", 11, right=True, rank=1),
)


class Overview(Vertical):
    """Tables of signatures, programs and arenas; Enter shows the faults, or the map of an arena."""

    class Chosen(Message):
        """A row was opened. ``what`` is signature, program or arena."""

        def __init__(self, what: str, row: Row) -> None:
            super().__init__()
            self.what = what
            self.row = row

    def __init__(self, *, id: str) -> None:  # noqa: A002
        super().__init__(id=id)
        self._shown: dict[str, Sequence[Row]] = {"signature": (), "program": (), "arena": ()}

    def compose(self) -> ComposeResult:
        """Compose lines of text, the histogram, and three tables."""
        yield Static(id="headline")
        yield Static(id="why")
        yield Static(id="health")
        yield Static(id="warnings")
        yield Histogram(id="histogram")
        yield Grid(_SIGNATURES, id="signatures")
        with Container(id="below"):
            yield Grid(_PROGRAMS, id="programs-small", empty="no program with an arena")
            yield Grid(_ARENAS, id="arenas-small", empty="no arena")

    def show(self, snapshot: Snapshot) -> None:
        """Draw ``snapshot``."""
        self.query_one("#headline", Static).update(labels.headline(snapshot))
        why = self.query_one("#why", Static)
        why.update(labels.why(snapshot.causes))
        why.display = bool(snapshot.causes)
        self.query_one("#health", Static).update(labels.health(snapshot))
        self._draw_warnings(snapshot)
        histogram = self.query_one(Histogram)
        histogram.show(
            snapshot.faults, snapshot.meta.start_ts_ns, snapshot.duration_ns, snapshot.unlisted
        )
        histogram.display = snapshot.faults is not None and len(snapshot.faults) > 0
        self._shown = {
            "signature": snapshot.signatures,
            "program": snapshot.programs,
            "arena": snapshot.arenas,
        }
        self._table("signatures", snapshot.signatures, _signature, _empty_text(snapshot))
        self._table("programs-small", snapshot.programs, _program)
        self._table("arenas-small", snapshot.arenas, _arena)

    def _table(
        self,
        name: str,
        rows: Sequence[Row],
        cells: Callable[[Row], list[Cell]],
        empty: str | None = None,
    ) -> None:
        # there may be thousands of rows; only visible ones are drawn
        self.query_one(f"#{name}", Grid).show(
            len(rows), lambda index: cells(rows[index]), empty=empty
        )

    def _draw_warnings(self, snapshot: Snapshot) -> None:
        lines = [f"note: {harmless(warning)}" for warning in snapshot.warnings[:_MAX_WARNINGS]]
        if len(snapshot.warnings) > _MAX_WARNINGS:
            lines.append(f"and {len(snapshot.warnings) - _MAX_WARNINGS} more notes")
        if snapshot.error:
            lines.insert(0, f"error: {harmless(snapshot.error)}")
        warnings = self.query_one("#warnings", Static)
        warnings.update(Text("\n".join(lines), "yellow"))
        warnings.display = bool(lines)

    def on_grid_opened(self, message: Grid.Opened) -> None:
        """Open what the row stands for."""
        message.stop()
        what = {"signatures": "signature", "programs-small": "program"}.get(
            message.grid.id or "", "arena"
        )
        self.post_message(self.Chosen(what, self._shown[what][message.index]))


def _signature(row: Row) -> list[Cell]:
    oopses = row["oopses"]
    return [
        (f"{row['count']:,}", "bold"),
        (f"{oopses:,}" if oopses else "", "bold red"),
        labels.cause_cell(row["cause"]),
        (row["title"], ""),
    ]


def _program(row: Row) -> list[Cell]:
    causes = ", ".join(f"{name} {number:,}" for name, number in row["causes"].items())
    return [
        (f"{row['faults']:,}", "bold" if row["faults"] else "dim"),
        (labels.program_name(row) + ("" if row["id"] is None else f", id {row['id']}"), ""),
        (row["type"] or "", "dim"),
        (causes, ""),
    ]


def _arena(row: Row) -> list[Cell]:
    return [
        (f"{row['faults']:,}", "bold" if row["faults"] else "dim"),
        (row["name"] or "unnamed", ""),
        (size(row["max_entries"], PAGE_SIZE), "dim"),
        (f"{row['allocs']:,}", ""),
        (f"{row['frees']:,}", ""),
    ]


def _empty_text(snapshot: Snapshot) -> str:
    """Return the text for a trace without faults, and what to do."""
    if snapshot.recording is not None and snapshot.recording.running:
        return f"{snapshot.recording.state}; faults appear here as they happen"
    if snapshot.stage:
        return "looking for faults …"
    if not snapshot.totals.get("events"):
        return "an empty trace: record while the program runs, arenatrace record -- CMD"
    return "no arena faults in this trace"
