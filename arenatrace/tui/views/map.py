"""Map of an arena: its pages at any time and scale."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import polars as pl
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container, Vertical
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Static
from textual.worker import Worker, WorkerState

from arenatrace.analysis.pages.positions import END, Position
from arenatrace.errors import ArenatraceError
from arenatrace.schema import BAND_SZ, PAGE_SIZE
from arenatrace.tui.page_glyphs import GLYPHS, STATES, Picture
from arenatrace.tui.snapshot import Row, Snapshot
from arenatrace.tui.sources.source import Source
from arenatrace.tui.views.map_text import arena_line, cell_text, page_text
from arenatrace.tui.widgets.page_grid import PageGrid
from arenatrace.tui.widgets.time_slider import Slider
from arenatrace.tui.widgets.time_span import TimeSpan

#: Number of steps from the begin to the end of the time span.
_STEPS = 50
#: Time that the cursor must rest before the page's history is queried, s.
_REST_S = 0.15
#: Entries of a page's history shown around the position.
_ENTRIES = 40


class MapView(Vertical):
    """Pages of an arena, the position shown, and the history of one page."""

    BINDINGS = [
        Binding("right_square_bracket", "step(1)", "Later", key_display="]"),
        Binding("left_square_bracket", "step(-1)", "Earlier", key_display="["),
        Binding("full_stop", "event(1)", "Next event", show=False, key_display="."),
        Binding("comma", "event(-1)", "Previous event", show=False, key_display=","),
        Binding("n", "fault(1)", "Next fault"),
        Binding("p", "fault(-1)", "Previous fault", show=False),
        Binding("b", "begin", "Begin", show=False),
        Binding("e", "end", "End", show=False),
        Binding("a", "arena", "Arena"),
        Binding("enter", "open", "Open"),
    ]

    class Chosen(Message):
        """A fault on the page under the cursor was opened."""

        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

    def __init__(self, source: Source, *, id: str) -> None:  # noqa: A002
        super().__init__(id=id)
        self._source = source
        self._snapshot: Snapshot | None = None
        self._arena: Row | None = None
        self._position: Position = END
        self._picture: Picture | None = None
        self._busy = ""
        self._history: tuple[int, list[dict[str, Any]]] | None = None
        self._rest: Timer | None = None
        self._page: int | None = None

    def compose(self) -> ComposeResult:
        """Compose the arena's name, the time, the pages, and the page under the cursor."""
        yield Static(id="map-name")
        yield Slider(id="slider")
        with Container(id="map-parts"):
            with Vertical(id="map-left"):
                yield PageGrid(id="pages")
                yield Static(id="legend")
            yield Static(id="page")

    def on_mount(self) -> None:
        """Draw the legend, which never changes."""
        legend = Text(no_wrap=True, overflow="ellipsis")
        for look in (*STATES, "fault"):
            glyph, style = GLYPHS[look]
            legend.append(f" {glyph}", style).append(f" {look} ", "dim")
        legend.append(" ░▒▓", "green").append(" partly allocated", "dim")
        self.query_one("#legend", Static).update(legend)

    @property
    def position(self) -> Position:
        """The position shown."""
        return self._position

    @property
    def picture(self) -> Picture | None:
        """The picture shown."""
        return self._picture

    def show(self, snapshot: Snapshot) -> None:
        """Update from ``snapshot``; start with the arena that has most faults."""
        previous = self._snapshot
        self._snapshot = snapshot
        if self._arena is None:
            # pictures are not computed while another view is visible
            if snapshot.arenas and self.display:
                self.visit(snapshot.arenas[0])
        else:
            same = self._arena["arena"]
            self._arena = next((a for a in snapshot.arenas if a["arena"] == same), self._arena)
            has_new_faults = previous is not None and previous.faults is not snapshot.faults
            if has_new_faults and self._position == END:
                self._refresh_picture()
        self._draw()

    def begin(self) -> None:
        """Prepare the view when it becomes visible."""
        if self._arena is None and self._snapshot is not None and self._snapshot.arenas:
            self.visit(self._snapshot.arenas[0])

    def visit(self, arena: Row, position: Position = END, page: int | None = None) -> None:
        """Show ``arena`` at ``position``, with the cursor on ``page``."""
        self._arena, self._position, self._page = arena, position, page
        self._refresh_picture()

    def visit_page(self, page: int) -> bool:
        """Put the cursor on a page of the arena; return False if it has no such page."""
        if self._arena is None or page >= (self._arena["max_entries"] or BAND_SZ // PAGE_SIZE):
            return False
        self.visit(self._arena, self._position, page)
        return True

    def visit_fault(self, row: Mapping[str, Any]) -> None:
        """Show the arena just before a fault, with the cursor on its page."""
        number, source = row["fault"], self._source
        arena = self._row_of(row["arena"])
        if arena is not None:
            if row["ts_ns"] is not None and self._time.is_before(row["ts_ns"]):
                self._notify_evicted()
            self._arena, self._page = arena, row["page"]
            self._request_picture(lambda: source.fault_position(number) or END)

    def visit_event(self, arena: int, position: Position, page: int | None) -> None:
        """Show an arena just before an event."""
        row = self._row_of(arena)
        if row is not None:
            self.visit(row, position, page)

    def _row_of(self, arena: int) -> Row | None:
        rows = () if self._snapshot is None else self._snapshot.arenas
        return next((row for row in rows if row["arena"] == arena), None)

    def _request_picture(self, position: Callable[[], Position]) -> None:
        """Compute a position and the picture at it."""
        if self._arena is None:
            return
        source, arena = self._source, self._arena["arena"]
        self._busy = "…"
        self._draw()

        def work() -> Picture | str:
            try:
                return source.picture(arena, position())
            except ArenatraceError as error:
                return error.message

        self.run_worker(work, thread=True, exclusive=True, group="picture")

    def _refresh_picture(self) -> None:
        position = self._position
        self._request_picture(lambda: position)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Draw a finished picture or page history."""
        event.stop()
        if event.state is not WorkerState.SUCCESS:
            return
        result: Any = event.worker.result
        if event.worker.group == "picture":
            self._busy = result if isinstance(result, str) else ""
            if isinstance(result, Picture) and self._arena is not None:
                self._take(result)
        elif self._arena is not None and result[0] == self._arena["arena"]:
            self._history = result[1:]
        self._draw()

    def _take(self, picture: Picture) -> None:
        self._picture, self._position = picture, picture.position
        self.query_one(PageGrid).show(picture, page=self._page)
        self._page = None

    def on_page_grid_moved(self, message: PageGrid.Moved) -> None:
        """Query the page's history when the cursor rests."""
        message.stop()
        self._draw()
        if self._rest is not None:
            self._rest.stop()
        self._rest = self.set_timer(_REST_S, self._query_history)

    def _query_history(self) -> None:
        grid, arena, source = self.query_one(PageGrid), self._arena, self._source
        if arena is None or grid.scale != 1:
            self._history = None
            self._draw()
            return
        index, page = arena["arena"], grid.page

        def work() -> tuple[int, int, list[dict[str, Any]]]:
            try:
                return index, page, source.page_timeline(index, page)
            except ArenatraceError:
                return index, page, []

        self.run_worker(work, thread=True, exclusive=True, group="history")

    # drawing

    def _draw(self) -> None:
        scale, position = self.query_one(PageGrid).scale, self._time.label(self._position)
        name = arena_line(self._arena, scale, position, self._busy)
        self.query_one("#map-name", Static).update(name)
        faults = self._faults()
        begin, _end = self._time.ends_ns
        shares = [self._time.share(ts_ns) for ts_ns in faults if ts_ns >= begin]
        self.query_one(Slider).show(self._time.share(self._position[0]), shares, self._time.before)
        self.query_one("#page", Static).update(self._page_text())

    @property
    def _time(self) -> TimeSpan:
        return TimeSpan(self._snapshot)

    def _notify_evicted(self) -> None:
        """Show a message on how to see evicted events."""
        stops = self.app.check_action("stop", ())
        key = "S ends the recording, keeps the trace and opens all of it"
        later = "the whole trace opens when its recording has ended"
        self.notify(f"earlier states are on the disk: {key if stops else later}")

    def _own_faults(self) -> pl.DataFrame | None:
        """Return the faults of the arena with known times."""
        if self._snapshot is None or self._snapshot.faults is None or self._arena is None:
            return None
        return self._snapshot.faults.filter(
            (pl.col("arena") == self._arena["arena"]) & pl.col("ts_ns").is_not_null()
        )

    def _faults(self) -> list[int]:
        rows = self._own_faults()
        return [] if rows is None else rows["ts_ns"].unique().to_list()

    def _page_text(self) -> Text:
        grid, picture, arena = self.query_one(PageGrid), self._picture, self._arena
        if picture is None or arena is None:
            return Text(self._busy, "dim")
        if not picture.pages:
            known = arena["max_entries"] is not None
            reason = "this arena did not exist then" if known else "its size is unknown"
            return Text(reason, "dim")
        if grid.scale != 1:
            return cell_text(picture, grid)
        history = self._history[1] if self._history and self._history[0] == grid.page else None
        room = max(6, self.query_one("#page").size.height - 5)
        return page_text(picture, arena, grid.page, history, room)

    # time

    def on_slider_picked(self, message: Slider.Picked) -> None:
        """Go to the clicked position."""
        message.stop()
        self._go(message.share)

    def _go(self, share: float) -> None:
        self._position = self._time.position(share)
        self._refresh_picture()

    def action_step(self, steps: int) -> None:
        """Go forward or back by a fiftieth of the time."""
        share = self._time.share(self._position[0])
        if steps < 0 and not share and self._time.before:
            self._notify_evicted()
        self._go(max(0.0, share + steps / _STEPS))

    def action_begin(self) -> None:
        """Go to the beginning of the recording or of the window."""
        if self._time.before:
            self._notify_evicted()
        self._go(0.0)

    def action_end(self) -> None:
        """Go to the end."""
        self._go(1.0)

    def action_event(self, steps: int) -> None:
        """Go to the next or previous event of the arena."""
        if self._arena is not None:
            source, arena, at = self._source, self._arena["arena"], self._position
            if steps < 0 and self._time.before and at[0] <= self._time.ends_ns[0]:
                self._notify_evicted()
            self._request_picture(lambda: source.adjacent_position(arena, at, steps))

    def action_fault(self, steps: int) -> None:
        """Go to the next or previous fault of the arena, and its page."""
        rows = self._own_faults()
        if rows is None or rows.is_empty():
            self.notify("this arena has no fault")
            return
        now = self._position[0]
        candidates = rows.filter(pl.col("ts_ns") > now if steps > 0 else pl.col("ts_ns") < now)
        if candidates.is_empty():
            self.notify("no later fault" if steps > 0 else "no earlier fault")
            return
        self.visit_fault(candidates.row(0 if steps > 0 else -1, named=True))

    def action_arena(self) -> None:
        """Show the next arena."""
        rows = [] if self._snapshot is None else list(self._snapshot.arenas)
        if self._arena is None or len(rows) < 2:
            self.notify("there is no other arena")
            return
        indices = [row["arena"] for row in rows]
        here = indices.index(self._arena["arena"])
        self._history = None
        self.visit(rows[(here + 1) % len(rows)])

    def action_open(self) -> None:
        """Open the fault on this page that is nearest to the position."""
        rows = self._own_faults()
        grid = self.query_one(PageGrid)
        here = None
        if rows is not None:
            pages = pl.col("page").is_between(grid.page, grid.page + grid.scale - 1)
            here = rows.filter(pages)
        if here is None or here.is_empty():
            self.notify(f"no fault on {'this page' if grid.scale == 1 else 'these pages'}")
            return
        later = here.filter(pl.col("ts_ns") >= self._position[0])
        nearest = later.row(0, named=True) if len(later) else here.row(-1, named=True)
        self.post_message(self.Chosen(nearest["fault"]))
