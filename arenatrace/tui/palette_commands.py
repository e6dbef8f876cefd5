"""Commands of the palette: faults by number, pages, programs, arenas, causes, text search."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import cast

from textual.command import DiscoveryHit, Hit, Hits, Provider

from arenatrace.report.sanitize import harmless
from arenatrace.tui import labels
from arenatrace.tui.navigation import Navigation
from arenatrace.tui.selection import Selection
from arenatrace.tui.widgets.title_bar import VIEWS

#: Programs and arenas offered, at most.
_MAX_LISTED = 200
_NUMBERED = re.compile(r"^\s*(?:open\s+)?(fault|page)?\s*#?\s*([\d,]{1,15})\s*$", re.IGNORECASE)

#: Name, help and action.
Command = tuple[str, str, Callable[[], None]]


class Commands(Provider):
    """All commands; commands that depend on the trace come first.

    There is one provider because Textual queries several in no particular order.
    """

    @property
    def _trace_app(self) -> Navigation:
        # Textual declares `app` with its general type
        return cast(Navigation, self.app)

    async def discover(self) -> Hits:
        """Offer commands before anything is typed."""
        app = self._trace_app
        hint = "type its number, for example 12"
        yield DiscoveryHit("Open fault …", partial(app.go, "faults"), help=hint)
        for name, what, run in self._fixed():
            yield DiscoveryHit(name, run, help=what)

    async def search(self, query: str) -> Hits:
        """Offer faults and pages for a number, and everything whose name matches."""
        for name, what, run in self._numbered(query):
            yield Hit(1.0, name, run, text=name, help=what)
        matcher = self.matcher(query)
        for name, what, run in (*self._fixed(), *self._named()):
            score = matcher.match(name)
            if score > 0:
                yield Hit(score, matcher.highlight(name), run, text=name, help=what)
        word = query.strip()
        if word:
            app = self._trace_app
            yield Hit(
                0.01,
                f"Search faults for {harmless(word)}",
                partial(app.list_faults, Selection(text=word)),
                help="in titles, source lines, tasks and causes",
            )

    def _numbered(self, query: str) -> Iterator[Command]:
        found = _NUMBERED.match(query)
        digits = found.group(2).replace(",", "") if found else ""
        if not found or not digits:
            return
        app, number, what = self._trace_app, int(digits), (found.group(1) or "").lower()
        if what != "page":
            total = 0 if app.drawn is None else app.drawn.fault_count
            yield f"Open fault {number}", f"of {total:,}", partial(app.open_fault, number)
        if what != "fault":
            yield f"Show page {number}", "on the map", partial(app.show_page, number)

    def _fixed(self) -> Iterator[Command]:
        app = self._trace_app
        yield "Group faults by signature", "one row per bug", app.group_faults
        yield "Show all faults", "no filter", partial(app.list_faults, Selection())
        yield "Help", "keys of this view and how to read it", app.action_help
        if app.check_action("keep", ()):
            yield "Keep the trace", "or ask again at the end", app.action_keep
        if app.check_action("stop", ()):
            yield "Stop recording", "and show all of it", app.action_stop
        for view in VIEWS.values():
            yield f"Go to {view}", f"Show the view {view}", partial(app.go, view)
        yield "Quit", "End arenatrace", app.action_leave

    def _named(self) -> Iterator[Command]:
        app = self._trace_app
        drawn = app.drawn
        if drawn is None:
            return
        for cause in drawn.causes:
            name = f"Faults by cause: {harmless(cause)}"
            yield name, "lists them", partial(app.list_faults, Selection(cause=cause))
        for row in drawn.programs[:_MAX_LISTED]:
            name = f"Faults of program {harmless(labels.program_name(row))}"
            yield name, "lists them", partial(app.list_faults, Selection(program=row["prog"]))
        for row in drawn.arenas[:_MAX_LISTED]:
            name = f"Map of arena {harmless(row['name'] or 'unnamed')}"
            yield name, "its pages", partial(app.show_arena, row)
