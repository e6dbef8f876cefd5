"""The fault list: sorted, filtered, or grouped by signature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import polars as pl
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Input, Static
from textual.worker import Worker, WorkerState

from arenatrace.analysis import fault_counts
from arenatrace.report.sanitize import harmless
from arenatrace.report.units import count
from arenatrace.tui import labels
from arenatrace.tui.selection import ORDERS, Selection
from arenatrace.tui.snapshot import Snapshot
from arenatrace.tui.views.fault_rows import FAULTS, GROUPS, fault_cells, group_cells
from arenatrace.tui.widgets.row_table import Grid


class FaultsView(Vertical):
    """Table of faults; Enter opens one, or lists those of a signature."""

    BINDINGS = [
        Binding("slash", "search", "Search"),
        Binding("g", "group", "Group"),
        Binding("c", "cycle('cause')", "Cause"),
        Binding("p", "cycle('program')", "Program"),
        Binding("a", "cycle('arena')", "Arena"),
        Binding("s", "cycle('side')", "Side"),
        Binding("o", "order", "Order"),
        Binding("O", "reverse", "Reverse", show=False),
        Binding("x", "clear", "All"),
    ]

    class Chosen(Message):
        """A fault was opened: its number, and the numbers of its list."""

        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

    def __init__(self, *, id: str) -> None:  # noqa: A002
        super().__init__(id=id)
        self._snapshot: Snapshot | None = None
        self._selection = Selection()
        self._grouped = False
        self._rows: pl.DataFrame | None = None
        self._groups: Sequence[dict[str, Any]] = ()
        self._wanted: int | None = None
        self._drawn: tuple[Any, ...] = ()

    def compose(self) -> ComposeResult:
        """Compose the selection line, the search and the table."""
        yield Static(id="selection")
        yield Input(placeholder="search in titles, lines, tasks, causes", compact=True, id="search")
        yield Grid(FAULTS, id="faults-grid", empty="no fault matches; x shows all")

    def on_mount(self) -> None:
        """Hide the search until it is used."""
        self.query_one(Input).display = False

    @property
    def numbers(self) -> pl.Series:
        """Numbers of the listed faults, in order."""
        if self._rows is None:
            return pl.Series([], dtype=pl.UInt32)
        return self._rows["fault"]

    @property
    def selection(self) -> Selection:
        """The current selection."""
        return self._selection

    def show(self, snapshot: Snapshot) -> None:
        """Update from ``snapshot``; the list follows when it is computed."""
        before = self._snapshot
        self._snapshot = snapshot
        if before is None or before.faults is not snapshot.faults:
            self._follow_signature(before, snapshot)
            self._select_again()

    def select(self, selection: Selection, *, grouped: bool = False) -> None:
        """List other faults, from the top."""
        self._selection = selection
        self._grouped = grouped
        self._wanted = 0
        self._select_again()

    def _follow_signature(self, before: Snapshot | None, now: Snapshot) -> None:
        """Follow the fault: its signature changes when its cause becomes known."""
        wanted = self._selection.signature
        if wanted is None or before is None or before.faults is None or now.faults is None:
            return
        old = before.faults.filter(pl.col("signature") == wanted)
        if old.is_empty():
            return
        new = now.faults.filter(pl.col("fault") == old["fault"][0])
        if not new.is_empty():
            self._selection = replace(self._selection, signature=new["signature"][0])

    def _select_again(self) -> None:
        snapshot = self._snapshot
        if snapshot is None or snapshot.faults is None:
            self._draw()
            return
        faults, selection, grouped = snapshot.faults, self._selection, self._grouped

        def work() -> tuple[Selection, bool, pl.DataFrame, Sequence[dict[str, Any]]]:
            rows = selection.apply(faults)
            groups = fault_counts.signatures(rows.lazy()).collect().to_dicts() if grouped else ()
            return selection, grouped, rows, groups

        self.run_worker(work, thread=True, exclusive=True, group="select")

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Draw the result, unless the selection has changed meanwhile."""
        event.stop()
        if event.state is not WorkerState.SUCCESS:
            return
        result: Any = event.worker.result
        selection, grouped, rows, groups = result
        if (selection, grouped) == (self._selection, self._grouped):
            self._keep_cursor(rows)
            self._rows, self._groups = rows, groups
            self._draw()

    def _keep_cursor(self, rows: pl.DataFrame) -> None:
        """Keep the cursor on its fault when the list grows or is sorted."""
        if self._wanted is not None or self._grouped or self._rows is None or self._rows.is_empty():
            return
        grid = self.query_one(Grid)
        if grid.cursor < len(self._rows):
            number = self._rows["fault"][grid.cursor]
            found = rows["fault"].index_of(number)
            self._wanted = grid.cursor if found is None else found

    def _draw(self) -> None:
        grid = self.query_one(Grid)
        self.query_one("#selection", Static).update(self._described())
        columns = GROUPS if self._grouped else FAULTS
        grid.heading(columns)
        start_ns = self._start_ns()
        selection = self._selection
        if self._rows is None:
            grid.show(0, lambda _index: (), empty="looking for faults …")
            return
        if self._grouped:
            groups = self._groups
            grid.show(
                len(groups), lambda index: group_cells(groups[index], start_ns), cursor=self._wanted
            )
        else:
            rows = self._rows
            grid.show(
                len(rows),
                lambda index: fault_cells(rows.row(index, named=True), start_ns),
                cursor=self._wanted,
                sorted_by=(selection.order, selection.descending),
                empty=self._empty_text(),
            )
        self._wanted = None

    def _empty_text(self) -> str:
        if self._selection.restricts():
            return "no fault matches; x shows all"
        if self._snapshot is not None and self._snapshot.recording is not None:
            return "no fault so far"
        return "no arena faults in this trace"

    def _start_ns(self) -> int:
        return 0 if self._snapshot is None else self._snapshot.meta.start_ts_ns

    def _described(self) -> Text:
        selection, snapshot = self._selection, self._snapshot
        every = 0 if snapshot is None or snapshot.faults is None else len(snapshot.faults)
        shown = 0 if self._rows is None else len(self._rows)
        parts = [Text(f"{shown:,} of {count(every, 'fault')}", "bold")]
        if self._grouped:
            parts.append(Text(count(len(self._groups), "signature")))
        for label, value in (
            ("cause", selection.cause),
            ("side", selection.side),
            ("program", self._named("programs", "prog", selection.program)),
            ("arena", self._named("arenas", "arena", selection.arena)),
            ("signature", selection.signature),
            ("search", selection.text or None),
        ):
            if value is not None:
                parts.append(Text.assemble((f"{label} ", "dim"), (harmless(value), "bold cyan")))
        if snapshot is not None and snapshot.unlisted:
            parts.append(Text(f"{snapshot.unlisted:,} older ones are not listed", "yellow"))
        return labels.joined(parts)

    def _named(self, table: str, key: str, index: int | None) -> str | None:
        if index is None or self._snapshot is None:
            return None
        for row in getattr(self._snapshot, table):
            if row[key] == index:
                return str(row["name"] or f"unnamed {index}")
        return str(index)

    def on_grid_opened(self, message: Grid.Opened) -> None:
        """Open a fault, or list the faults of a signature."""
        message.stop()
        if self._grouped:
            signature = self._groups[message.index]["signature"]
            self.select(replace(self._selection, signature=signature))
        elif self._rows is not None and message.index < len(self._rows):
            self.post_message(self.Chosen(self._rows["fault"][message.index]))

    def on_grid_heading_clicked(self, message: Grid.HeadingClicked) -> None:
        """Sort by the clicked column."""
        message.stop()
        if message.key in ORDERS and not self._grouped:
            self.select(self._selection.sorted_by(message.key))

    def on_input_changed(self, event: Input.Changed) -> None:
        """Search while typing."""
        event.stop()
        self.select(replace(self._selection, text=event.value), grouped=self._grouped)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Go back to the table."""
        event.stop()
        self.end_search()

    def end_search(self) -> bool:
        """Close the search; return whether it was open."""
        search = self.query_one(Input)
        was_open = search.has_focus
        search.display = bool(search.value)
        if was_open:
            self.query_one(Grid).focus()
        return was_open

    def action_search(self) -> None:
        """Open the search."""
        search = self.query_one(Input)
        search.display = True
        search.focus()

    def action_group(self) -> None:
        """Group by signature, or list single faults."""
        self.select(replace(self._selection, signature=None), grouped=not self._grouped)

    def action_cycle(self, what: str) -> None:
        """Go to the next value of one filter; after the last, remove the filter."""
        if self._snapshot is None:
            return
        values: dict[str, list[Any]] = {
            "cause": list(self._snapshot.causes),
            "side": ["kernel", "prog"],
            "program": [row["prog"] for row in self._snapshot.programs if row["faults"]],
            "arena": [row["arena"] for row in self._snapshot.arenas if row["faults"]],
        }
        steps = [None, *values[what]]
        now = getattr(self._selection, what)
        after = steps[(steps.index(now) + 1) % len(steps)] if now in steps else None
        changes: dict[str, Any] = {what: after}
        self.select(replace(self._selection, **changes), grouped=self._grouped)

    def action_order(self) -> None:
        """Sort by the next column."""
        keys = list(ORDERS)
        after = keys[(keys.index(self._selection.order) + 1) % len(keys)]
        self.select(replace(self._selection, order=after, descending=False))

    def action_reverse(self) -> None:
        """Reverse the order."""
        self.select(self._selection.sorted_by(self._selection.order))

    def action_clear(self) -> None:
        """Remove all filters."""
        self.query_one(Input).value = ""
        self.query_one(Input).display = False
        self.select(Selection())
