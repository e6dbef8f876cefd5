"""What the command palette asks of the application."""

from __future__ import annotations

from typing import Protocol

from arenatrace.tui.selection import Selection
from arenatrace.tui.snapshot import Row, Snapshot


class Navigation(Protocol):
    """Moves between views and opens rows. `ArenatraceApp` is the implementation."""

    @property
    def drawn(self) -> Snapshot | None:
        """The snapshot on the screen."""

    def go(self, view: str) -> None:
        """Show a view."""

    def open_fault(self, number: int) -> None:
        """Open a fault by its number."""

    def list_faults(self, selection: Selection) -> None:
        """List the selected faults."""

    def group_faults(self) -> None:
        """List signatures."""

    def show_arena(self, row: Row) -> None:
        """Show an arena on the map."""

    def show_page(self, page: int) -> None:
        """Show a page of the arena that is on the map."""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Tell whether an action is available."""

    def action_help(self) -> None:
        """Show the keys of the view."""

    def action_keep(self) -> None:
        """Keep the trace of this recording, or ask about it again."""

    def action_stop(self) -> None:
        """End the recording."""

    def action_leave(self) -> None:
        """End the program."""
