"""The application: regions of the screen, navigation between views, redraws."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import ContentSwitcher

from arenatrace.tui.ascii_glyphs import KEY_WORDS, AsciiFilter
from arenatrace.tui.exit_handling import ExitHandling
from arenatrace.tui.palette_commands import Commands
from arenatrace.tui.selection import Selection
from arenatrace.tui.snapshot import Row, Snapshot
from arenatrace.tui.sources.record_process import Recorder
from arenatrace.tui.sources.source import Source
from arenatrace.tui.views.fault import FaultView
from arenatrace.tui.views.faults import FaultsView
from arenatrace.tui.views.help_screen import HelpScreen
from arenatrace.tui.views.keep_recording import KeepRecordingScreen
from arenatrace.tui.views.map import MapView
from arenatrace.tui.views.overview import Overview
from arenatrace.tui.views.programs import ProgramsView
from arenatrace.tui.views.replay import ReplayView
from arenatrace.tui.views.too_small import TooSmall
from arenatrace.tui.widgets.key_bar import KeyLine
from arenatrace.tui.widgets.progress_line import ProgressLine
from arenatrace.tui.widgets.title_bar import VIEWS, Tab, TitleBar

#: Redraw interval, s.
REDRAW_S = 0.1
#: Number of views that Escape can go back through.
_BACK_STEPS = 100

Clock = Callable[[], float]


class ArenatraceApp(App[None]):
    """The terminal interface over one source."""

    TITLE = "arenatrace"
    COMMANDS = {Commands}
    CSS_PATH = Path(__file__).parent / "style.tcss"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (116, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-low"), (22, "-middling"), (36, "-tall")]
    BINDINGS = [
        *(
            Binding(key, f"go('{view}')", view.capitalize(), show=False)
            for key, view in VIEWS.items()
        ),
        Binding("escape,backspace", "return", "Back"),
        Binding("question_mark", "help", "Help", key_display="?"),
        Binding("k", "keep", "Keep"),
        Binding("S", "stop", "Stop"),
        Binding("q", "leave", "Quit"),
        Binding("ctrl+c", "leave", "Quit", show=False),
    ]

    def __init__(
        self,
        source: Source,
        *,
        recorder: Recorder | None = None,
        clock: Clock = time.monotonic,
        ascii_only: bool = False,
    ) -> None:
        # set at once: Textual would turn NO_COLOR into shades of grey
        super().__init__(ansi_color=True)
        self._ascii_only = ascii_only
        if ascii_only:
            self._filters.append(AsciiFilter())
        self._recorder = recorder
        self._exit_handling = ExitHandling(lambda code: self.exit(return_code=code))
        self.theme = "ansi-dark"
        self._source = source
        self._clock = clock
        self._latest: Snapshot | None = None
        self._drawn: Snapshot | None = None
        self._history: deque[str] = deque(maxlen=_BACK_STEPS)
        #: Widget that had the focus when a view was left, by view.
        self._focus_of: dict[str, Widget] = {}

    def compose(self) -> ComposeResult:
        """Compose all regions; one view is visible at a time."""
        yield TooSmall(id="too-small")
        with Vertical(id="main"):
            yield TitleBar()
            with ContentSwitcher(initial="overview", id="views"):
                yield Overview(id="overview")
                yield FaultsView(id="faults")
                yield FaultView(self._source.explain, id="fault")
                yield MapView(self._source, id="map")
                yield ProgramsView(self._source, id="programs")
                yield ReplayView(id="replay")
            yield ProgressLine(id="progress")
            yield KeyLine(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """Start the source and the redraw timer."""
        self._home.query_one("#signatures").focus()
        self._home.query_one(TitleBar).mark("overview")
        self._exit_handling.open()
        self.set_interval(REDRAW_S, self._draw)
        self._source.start(self._publish)
        self.call_after_refresh(self._draw)

    def on_unmount(self) -> None:
        """Stop the source."""
        self._source.stop()

    def _publish(self, snapshot: Snapshot) -> None:
        # called from any thread; the next redraw shows the latest snapshot only
        self._latest = snapshot

    def _draw(self) -> None:
        snapshot = self._latest
        if snapshot is None or snapshot is self._drawn or not self.is_running:
            return
        if snapshot.over:
            self.exit()
            return
        self._drawn = snapshot
        self._home.query_one(TitleBar).show(snapshot)
        self._home.query_one(ProgressLine).show(snapshot)
        self._home.query_one(FaultsView).show(snapshot)
        self._home.query_one(FaultView).show(snapshot)
        self._home.query_one(ProgramsView).show(snapshot)
        self._draw_view()

    def _draw_view(self) -> None:
        """Draw the views that are drawn only while visible."""
        drawn, home = self._drawn, self._home
        if drawn is None:
            return
        if self.view == "overview":
            home.query_one(Overview).show(drawn)
        elif self.view == "map":
            home.query_one(MapView).show(drawn)
        elif self.view == "replay":
            home.query_one(ReplayView).show(drawn)

    def get_key_display(self, binding: Binding) -> str:
        """Return the name of a key; a word if its sign cannot be drawn."""
        shown = super().get_key_display(binding)
        return KEY_WORDS.get(shown, shown) if self._ascii_only else shown

    def ended(self) -> None:
        """Tell the exit handling that the terminal is restored."""
        self._exit_handling.ended()

    @property
    def _home(self) -> Screen[object]:
        """The screen with the views; other screens may lie on top."""
        return self.screen_stack[0]

    @property
    def failure(self) -> Exception | None:
        """The exception that ended the application, if any."""
        return self._exception

    def _fatal_error(self) -> None:
        # no traceback with the values of all variables: the command line prints one line
        self._close_messages_no_wait()

    @property
    def drawn(self) -> Snapshot | None:
        """The snapshot on the screen."""
        return self._drawn

    # navigation

    @property
    def view(self) -> str:
        """The visible view."""
        return self._home.query_one(ContentSwitcher).current or "overview"

    def go(self, view: str) -> None:
        """Show ``view``; Escape leads back."""
        if view != self.view:
            self._history.append(self.view)
            self._switch(view)

    action_go = go

    def _switch(self, view: str) -> None:
        if self.focused is not None:
            self._focus_of[self.view] = self.focused
        self._home.query_one(ContentSwitcher).current = view
        self._home.query_one(TitleBar).mark(view)
        self._draw_view()
        if view == "map":
            self._home.query_one(MapView).begin()
        inside = self._home.query_one(f"#{view}").walk_children(Widget)
        focusable = [widget for widget in inside if widget.focusable and widget.display]
        before = self._focus_of.get(view)
        if focusable:
            (before if before in focusable else focusable[0]).focus()

    def action_return(self) -> None:
        """Go back to the previous view."""
        if self.view == "faults" and self._home.query_one(FaultsView).end_search():
            return
        if self._history:
            self._switch(self._history.pop())

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Disable keys that have no effect now."""
        del parameters
        if action == "keep":
            return self._recorder is not None and not self._recorder.is_requested
        return action != "stop" or (self._recorder is not None and self._recorder.running)

    def action_leave(self) -> None:
        """Quit; ask first what to do with a recording."""
        recorder = self._recorder
        if recorder is None or recorder.is_kept or not recorder.path.is_dir():
            self.exit()
            return
        self.push_screen(KeepRecordingScreen(recorder.path), self._answered)

    def _answered(self, keep: bool | None) -> None:
        if keep is not None and self._recorder is not None:
            self._recorder.keep = keep
            self.exit()

    def action_keep(self) -> None:
        """Keep the trace of this recording, or ask about it again."""
        recorder = self._recorder
        if recorder is None:
            return
        recorder.keep = not recorder.keep
        message = f"the trace stays: {recorder.path}"
        self.notify(message if recorder.is_kept else "you will be asked at the end", markup=False)

    def action_stop(self) -> None:
        """End the recording and show the complete trace."""
        if self._recorder is not None:
            self._recorder.keep = True
            self._recorder.stop()
            self.notify("ending the recording; the trace stays")
            self.refresh_bindings()

    def on_tab_chosen(self, message: Tab.Chosen) -> None:
        """Show the view whose tab was clicked."""
        self.go(message.view)

    def on_overview_chosen(self, message: Overview.Chosen) -> None:
        """Show what a row of the overview stands for."""
        row = message.row
        if message.what == "arena":
            self.show_arena(row)
            return
        selections = {
            "signature": lambda: Selection(signature=row["signature"]),
            "program": lambda: Selection(program=row["prog"]),
        }
        self.list_faults(selections[message.what]())

    def on_faults_view_chosen(self, message: FaultsView.Chosen) -> None:
        """Open the chosen fault."""
        self._open(message.number)
        self.go("fault")

    def open_fault(self, number: int) -> None:
        """Open a fault by its number, in the current list if it is in it."""
        faults = None if self._drawn is None else self._drawn.faults
        if faults is None or number not in faults["fault"]:
            listed = self._drawn is not None and 0 < number <= self._drawn.unlisted
            why = "is not listed until the recording ends" if listed else "does not exist"
            self.notify(f"fault {number} {why}", severity="warning")
            return
        view = self._home.query_one(FaultsView)
        if number not in view.numbers:
            view.select(Selection())
        self._home.query_one(FaultView).open(
            number, view.numbers if number in view.numbers else faults["fault"]
        )
        self.go("fault")

    def list_faults(self, selection: Selection) -> None:
        """List the selected faults."""
        self._home.query_one(FaultsView).select(selection)
        self.go("faults")

    def group_faults(self) -> None:
        """List signatures."""
        self._home.query_one(FaultsView).select(Selection(), grouped=True)
        self.go("faults")

    def show_arena(self, row: Row) -> None:
        """Show an arena on the map."""
        self.go("map")
        self._home.query_one(MapView).visit(row)

    def show_page(self, page: int) -> None:
        """Show a page of the arena that is on the map."""
        self.go("map")
        if not self._home.query_one(MapView).visit_page(page):
            self.notify(f"page {page} does not exist", severity="warning")

    def _open(self, number: int) -> None:
        listed = self._home.query_one(FaultsView).numbers
        self._home.query_one(FaultView).open(number, listed)

    def on_fault_view_map_wanted(self, message: FaultView.MapWanted) -> None:
        """Show a fault on the map."""
        self.go("map")
        self._home.query_one(MapView).visit_fault(message.row)

    def on_map_view_chosen(self, message: MapView.Chosen) -> None:
        """Open a fault from the map."""
        self._open(message.number)
        self.go("fault")

    def on_programs_view_chosen(self, message: ProgramsView.Chosen) -> None:
        """List the faults of a program."""
        self.list_faults(Selection(program=message.prog))

    def on_replay_view_chosen(self, message: ReplayView.Chosen) -> None:
        """Show the arena just before a divergent event."""
        event = message.divergence
        position = (event["ts_ns"], event["seq"])
        self.go("map")
        self._home.query_one(MapView).visit_event(event["arena"], position, event["page"])

    def action_help(self) -> None:
        """Show the keys of the view and how to read it."""
        keys: dict[str, str] = {}
        for active in self.screen.active_bindings.values():
            binding = active.binding
            if not binding.system and binding.description:
                shown = self.get_key_display(binding)
                before = keys.get(binding.description, "")
                keys[binding.description] = f"{before} {shown}".strip()
        self.push_screen(HelpScreen(self.view, [(key, what) for what, key in keys.items()]))

    def on_resize(self, event: events.Resize) -> None:
        """Replace the screen by a message if the terminal is too small."""
        self._home.set_class(self._home.query_one(TooSmall).measure(event.size), "-too-small")
