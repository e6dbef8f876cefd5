"""Interface of the screen's data source. Real sources read traces; tests have their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from arenatrace.analysis.pages.positions import Position
from arenatrace.tui.page_glyphs import Picture
from arenatrace.tui.snapshot import Snapshot

Publish = Callable[[Snapshot], None]


class Source(Protocol):
    """Computes in threads of its own and publishes snapshots.

    ``start`` and ``stop`` return at once. The other methods may take long and are called off the UI
    thread. They raise ArenatraceError for a damaged trace.
    """

    def start(self, publish: Publish) -> None:
        """Start publishing; ``publish`` is called from any thread."""

    def stop(self) -> None:
        """Stop publishing and end all threads."""

    def explain(self, number: int) -> Mapping[str, Any] | None:
        """Return the object of ``analysis.explanation`` for one fault; None if there is none."""

    def fault_position(self, number: int) -> Position | None:
        """Return the position just before fault ``number``; None if there is none."""

    def adjacent_position(self, arena: int, at: Position, steps: int) -> Position:
        """Return the position one event of ``arena`` after ``at``; before it if ``steps`` < 0."""

    def picture(self, arena: int, at: Position) -> Picture:
        """Return the pages of ``arena`` at a position."""

    def programs(self) -> Sequence[Mapping[str, Any]]:
        """Return every program, with the number of its lines as ``lines``."""

    def page_timeline(self, arena: int, page: int) -> list[dict[str, Any]]:
        """Return the history of a page, as ``analysis.page_timeline`` makes it."""
