"""One fault: this line, because of that, and everything behind it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
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
from arenatrace.report.explain_text import explanation_lines, sections
from arenatrace.report.harmless import harmless
from arenatrace.report.units import count
from arenatrace.tui import words
from arenatrace.tui.snapshot import Snapshot
from arenatrace.tui.timeline import timeline

#: Sections of the report that stand on the right where there is room for two columns.
_RIGHT = ("History of the page", "Pages around it, just before", "Consequences", "What is not seen")
#: In one column what explains comes before the stack.
_FIRST = ("", "Why", "Freed by", "Allocated by")
_WIDE = 116
#: Columns that a row of the map needs.
_MAP_COLUMNS = 68
#: Names tried for a report that is saved.
_ATTEMPTS = 100

Explain = Callable[[int], Mapping[str, Any] | None]


class FaultView(Vertical):
    """The report of one fault, filled in as it is worked out."""

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
        """Show the fault on the map of its arena."""

        def __init__(self, row: Mapping[str, Any]) -> None:
            super().__init__()
            self.row = row

    def __init__(self, explain: Explain, *, id: str) -> None:  # noqa: A002
        super().__init__(id=id)
        self._explain = explain
        self._snapshot: Snapshot | None = None
        self._number: int | None = None
        self._list: pl.Series = pl.Series([], dtype=pl.UInt32)
        self._told: Mapping[str, Any] | None = None
        self._failed = ""

    def compose(self) -> ComposeResult:
        """The banner stays, the rest scrolls."""
        yield Static(id="banner")
        with VerticalScroll(id="story"), Container(id="columns"):
            yield Static(id="left")
            yield Static(id="right")

    @property
    def number(self) -> int | None:
        """The fault on the screen."""
        return self._number

    def show(self, snapshot: Snapshot) -> None:
        """Take over ``snapshot``; a fault that is open is told anew once causes are known."""
        before = self._snapshot
        self._snapshot = snapshot
        if self._number is None or before is None:
            return
        if before.explained != snapshot.explained:
            self.open(self._number, self._list)
        elif before.faults is not snapshot.faults:
            self._draw()

    def open(self, number: int, listed: pl.Series) -> None:
        """Show fault ``number``, which stands in ``listed``."""
        self._number, self._list = number, listed
        self._told = None
        self._failed = ""
        self.query_one("#story", VerticalScroll).scroll_home(animate=False)
        self._draw()
        explain = self._explain
        self.run_worker(lambda: (number, _try(explain, number)), thread=True, exclusive=True)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """The report is there."""
        event.stop()
        if event.state is not WorkerState.SUCCESS:
            return
        result: Any = event.worker.result
        number, (told, failed) = result
        if number == self._number:
            self._told, self._failed = told, failed
            self._draw()

    def on_resize(self, _event: events.Resize) -> None:
        """Fold the text anew."""
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
        now = _preliminary(self._snapshot, row)
        # more of them may have come since it was told
        counts = {name: now[name] for name in ("total", "same_signature")}
        told = {**(self._told or now), **counts}
        self.query_one("#banner", Static).update(_banner(told, width))
        self.query_one("#columns").set_class(wide, "-two")
        left_columns = width - rest - 3 if wide else width - 4
        right_columns = rest - 4 if wide else width - 4
        parts = dict(_parts(told, left_columns, right_columns, self._told is None, self._failed))
        self.query_one("#right").styles.width = rest if wide else "1fr"
        order = sorted(parts, key=lambda title: _place(title, list(parts)))
        right = [title for title in order if wide and title in _RIGHT]
        left = [title for title in order if title not in right]
        self.query_one("#left", Static).update(_joined(parts, left))
        self.query_one("#right", Static).update(_joined(parts, right))
        self.query_one("#right").display = bool(right)

    def action_same(self, step: int) -> None:
        """The next or previous fault of the same signature."""
        row = self._row()
        if row is None or self._snapshot is None or self._snapshot.faults is None:
            return
        alike = self._snapshot.faults.filter(pl.col("signature") == row["signature"])
        self._step(alike["fault"], step, "of this signature")

    def action_listed(self, step: int) -> None:
        """The next or previous fault of the list it was opened from."""
        self._step(self._list, step, "in the list")

    def _step(self, numbers: pl.Series, step: int, where: str) -> None:
        at = numbers.index_of(self._number)
        after = None if at is None else at + step
        if after is None or not 0 <= after < len(numbers):
            self.notify(f"no {'later' if step > 0 else 'earlier'} fault {where}")
            return
        self.open(numbers[after], self._list)

    def action_map(self) -> None:
        """To the map."""
        row = self._row()
        if row is None or row["arena"] is None or row["page"] is None:
            self.notify("its address lies in no arena that is known", severity="warning")
            return
        self.post_message(self.MapWanted(row))

    def report(self) -> str | None:
        """The text of ``arenatrace explain``; None while it is being worked out."""
        if self._told is None:
            return None
        return "".join(f"{line.plain}\n" for line in explanation_lines(self._told))

    def action_copy(self) -> None:
        """Give the report to the terminal's clipboard."""
        report = self.report()
        if report is None:
            self.notify("still being worked out", severity="warning")
            return
        self.app.copy_to_clipboard(report)
        self.notify("the report is in the clipboard, if the terminal takes it (OSC 52)")

    def action_write(self) -> None:
        """Write the report to a new file in the working directory."""
        report = self.report()
        if report is None or self._snapshot is None:
            self.notify("still being worked out", severity="warning")
            return
        stem = f"{self._snapshot.path.name.removesuffix('.atrace')}-fault-{self._number}"
        try:
            path = _write_new(Path(), stem, report)
        except OSError as error:
            self.notify(f"not saved: {error.strerror or error}", severity="error", markup=False)
            return
        self.notify(f"saved as {harmless(path.name)}", markup=False)


def _try(explain: Explain, number: int) -> tuple[Mapping[str, Any] | None, str]:
    try:
        return explain(number), ""
    except ArenatraceError as error:
        return None, error.message


def _preliminary(snapshot: Snapshot, row: dict[str, Any]) -> dict[str, Any]:
    """What the list knows of the fault, in the form of a full report."""
    same = next(
        (one["count"] for one in snapshot.signatures if one["signature"] == row["signature"]),
        1,
    )
    cause = row["cause"] or "unknown"
    return {
        "fault": {**row, "cause": cause, "confidence": row["confidence"] or "unknown"},
        "total": snapshot.unlisted + _height(snapshot),
        "same_signature": same,
        "stack": [],
        "allocated": None,
        "freed": None,
        "history": [],
        "earlier": 0,
        "space": [],
        "victims": [],
        "arena": next((one for one in snapshot.arenas if one["arena"] == row["arena"]), None),
        "trace": {
            "level": snapshot.meta.level,
            "start_ts_ns": snapshot.meta.start_ts_ns,
            "has_stacks": True,
        },
    }


def _height(snapshot: Snapshot) -> int:
    return 0 if snapshot.faults is None else len(snapshot.faults)


def _place(title: str, titles: list[str]) -> int:
    """Where a section stands: what explains first, the rest as in the report."""
    if title in _FIRST:
        return _FIRST.index(title) - len(_FIRST)
    return titles.index(title)


def _banner(told: Mapping[str, Any], width: int) -> Text:
    """Three lines: what, this line, because of that."""
    fault = told["fault"]
    cause, sure = fault["cause"], fault["confidence"]
    first = Text.assemble(
        (f"{cause}", f"bold {words.CAUSE_STYLE.get(cause, 'yellow')}"),
        ("" if cause == "unknown" else f" ({sure})", ""),
        (f"   fault #{fault['fault']} of {told['total']:,}", "bold"),
        (
            f", {count(told['same_signature'] - 1, 'other')} like it"
            if told["same_signature"] > 1
            else "",
            "dim",
        ),
    )
    where = words.place(fault) or "source line unknown"
    second = Text.assemble(
        (f"{harmless(words.program_name(fault['prog']))}  ", "bold"),
        (harmless(where), "bold cyan"),
        (f"  {harmless(words.source_text(fault))}", ""),
    )
    third = Text.assemble(("because  ", "dim"), harmless(_because(fault)))
    lines = []
    for line in (first, second, third):
        line.truncate(width - 2, overflow="ellipsis")
        lines.append(line)
    return Text("\n").join(lines)


def _because(fault: Mapping[str, Any]) -> str:
    """The sentence of the evidence that says most: a free before anything else."""
    evidence: list[str] = list(fault["evidence"] or ())
    freed = [sentence for sentence in evidence if " freed " in f" {sentence} "]
    return (freed or evidence or ["nothing in the trace says why"])[0]


def _parts(
    told: Mapping[str, Any], left: int, right: int, preliminary: bool, failed: str
) -> Iterator[tuple[str, list[Text]]]:
    narrow, wide = dict(sections(told, left)), dict(sections(told, right))
    for title in narrow:
        lines = (wide if title in _RIGHT else narrow)[title]
        if title == "History of the page":
            here = told["fault"]["fault"]
            yield title, list(timeline(told["history"], told["earlier"], here))
        elif not title:
            yield title, lines[1:]  # the banner has the cause
        elif not preliminary or title == "Why":
            yield title, lines
    if preliminary:
        text = f"not to be had: {harmless(failed)}" if failed else "working out the rest …"
        yield "Call stack, innermost first", [Text(f"  {text}", "dim")]


def _joined(parts: Mapping[str, list[Text]], titles: list[str]) -> Text:
    text = Text()
    for title in titles:
        if title:
            text.append(f"{title}\n", "bold underline")
        for line in parts[title]:
            text.append_text(line).append("\n")
        text.append("\n")
    return text


def _write_new(directory: Path, stem: str, text: str) -> Path:
    """Write ``text`` to a new file, readable by its owner alone: it holds kernel addresses."""
    for attempt in range(1, _ATTEMPTS + 1):
        path = directory / (f"{stem}.txt" if attempt == 1 else f"{stem}-{attempt}.txt")
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        except FileExistsError:
            continue
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
        return path
    raise OSError(f"{stem}.txt and {_ATTEMPTS - 1} more exist already")
