"""The programs of a trace: code ranges, load times, faults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container, Vertical, VerticalScroll
from textual.message import Message
from textual.widgets import Static
from textual.worker import Worker, WorkerState

from arenatrace.errors import ArenatraceError
from arenatrace.report.sanitize import harmless
from arenatrace.report.units import address, count, since
from arenatrace.tui import labels
from arenatrace.tui.snapshot import Snapshot
from arenatrace.tui.sources.source import Source
from arenatrace.tui.widgets.row_table import Cell, Column, Grid

_COLUMNS = (
    Column("faults", "faults", 11, right=True, rank=8),
    Column("id", "id", 7, right=True, rank=6),
    Column("name", "program", 24, flexible=True, rank=9),
    Column("type", "type", 14, rank=4),
    Column("arena", "arena", 18, rank=5),
    Column("load", "loaded", 16, right=True, rank=3),
    Column("unload", "unloaded", 16, right=True, rank=2),
    Column("tag", "tag", 16, rank=1),
)
#: Functions shown of one program, at most.
_FUNCTIONS = 200


class ProgramsView(Vertical):
    """All programs of the trace; Enter lists a program's faults."""

    BINDINGS = [Binding("o", "own", "Recorder programs")]

    class Chosen(Message):
        """Request to list the faults of a program."""

        def __init__(self, prog: int) -> None:
            super().__init__()
            self.prog = prog

    def __init__(self, source: Source, *, id: str) -> None:  # noqa: A002
        super().__init__(id=id)
        self._source = source
        self._snapshot: Snapshot | None = None
        self._all: Sequence[Mapping[str, Any]] = ()
        self._shown: Sequence[Mapping[str, Any]] = ()
        self._with_own = False
        self._shown_lines: tuple[int, str] = (-1, "")

    def compose(self) -> ComposeResult:
        """Compose the table, and the details of the program under the cursor."""
        with Container(id="programs-parts"):
            yield Grid(_COLUMNS, id="programs-grid", empty="no program in this trace")
            with VerticalScroll(id="program-box", can_focus=False):
                yield Static(id="program")

    def show(self, snapshot: Snapshot) -> None:
        """Update from ``snapshot``; the table is reloaded when the faults change."""
        before = self._snapshot
        self._snapshot = snapshot
        if before is None or before.programs is not snapshot.programs:
            source = self._source
            self.run_worker(lambda: _try(source), thread=True, exclusive=True)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Draw the loaded programs."""
        event.stop()
        if event.state is WorkerState.SUCCESS:
            result: Any = event.worker.result
            self._all = result
            self._draw()

    def _draw(self) -> None:
        faults = {row["prog"]: row["faults"] for row in self._programs()}
        rows = [
            {**row, "faults": faults.get(row["prog"], 0)}
            for row in self._all
            if self._with_own or not row["own"]
        ]
        rows.sort(key=lambda row: (-row["faults"], row["prog"]))
        self._shown = rows
        self.query_one(Grid).show(len(rows), lambda index: self._cells(rows[index]))
        self._draw_details()

    def _programs(self) -> Sequence[Mapping[str, Any]]:
        return () if self._snapshot is None else self._snapshot.programs

    def _start_ns(self) -> int:
        return 0 if self._snapshot is None else self._snapshot.meta.start_ts_ns

    def _arena_name(self, arena: int | None) -> str:
        if arena is None:
            return ""
        rows = () if self._snapshot is None else self._snapshot.arenas
        found = next((row["name"] for row in rows if row["arena"] == arena), None)
        return found or f"arena {arena}"

    def _cells(self, row: Mapping[str, Any]) -> list[Cell]:
        faults = row["faults"]
        return [
            (f"{faults:,}", "bold" if faults else "dim"),
            ("?" if row["id"] is None else str(row["id"]), ""),
            (labels.program_name(row) + (" (the recorder's)" if row["own"] else ""), ""),
            (row["type"] or "?", "dim"),
            (self._arena_name(row["arena"]), ""),
            (self._loaded(row), ""),
            (
                "" if row["unload_ts_ns"] is None else since(row["unload_ts_ns"], self._start_ns()),
                "",
            ),
            (row["tag"] or "", "dim"),
        ]

    def _loaded(self, row: Mapping[str, Any]) -> str:
        if row["preexisting"]:
            return "before"
        return "?" if row["load_ts_ns"] is None else since(row["load_ts_ns"], self._start_ns())

    def on_grid_moved(self, message: Grid.Moved) -> None:
        """Show the details of the program under the cursor."""
        message.stop()
        self._draw_details()

    def _draw_details(self) -> None:
        grid = self.query_one(Grid)
        box = self.query_one("#program", Static)
        if grid.cursor >= len(self._shown):
            box.update(Text(""))
            return
        row = self._shown[grid.cursor]
        text = Text(harmless(labels.program_name(row)), "bold")
        text.append(
            f"  {harmless(row['type'] or 'unknown type')}, tag {harmless(row['tag'] or '?')}\n",
            "dim",
        )
        causes: Mapping[str, int] = next(
            (one["causes"] for one in self._programs() if one["prog"] == row["prog"]), {}
        )
        if causes:
            text.append_text(labels.why(causes)).append("\n")
        funcs = row["funcs"] or []
        text.append(f"\n{count(len(funcs), 'function')}, {count(row['lines'], 'source line')}\n")
        for func in funcs[:_FUNCTIONS]:
            start, end = func["start"] or 0, func["end"] or 0
            text.append(f"  {address(start)}", "dim").append(f" {end - start:>7,} bytes  ", "dim")
            text.append(f"{harmless(func['name'] or '?')}\n")
        if len(funcs) > _FUNCTIONS:
            text.append(f"  and {len(funcs) - _FUNCTIONS:,} more\n", "dim")
        box.update(text)

    def on_grid_opened(self, message: Grid.Opened) -> None:
        """List the faults of the program."""
        message.stop()
        self.post_message(self.Chosen(self._shown[message.index]["prog"]))

    def action_own(self) -> None:
        """Show or hide the recorder's own programs."""
        self._with_own = not self._with_own
        self._draw()


def _try(source: Source) -> Sequence[Mapping[str, Any]]:
    try:
        return source.programs()
    except ArenatraceError:
        return ()
