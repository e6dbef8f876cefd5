"""Where a screen gets its data from. The real sources read traces; tests bring their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from arenatrace.analysis.pages.positions import Position
from arenatrace.tui.picture import Picture
from arenatrace.tui.snapshot import Snapshot

Publish = Callable[[Snapshot], None]


class Source(Protocol):
    """Computes in threads of its own and publishes snapshots.

    ``start`` and ``stop`` return at once. The other methods may take long and are called off
    the UI thread; they raise ArenatraceError for a trace that turns out to be damaged.
    """

    def start(self, publish: Publish) -> None:
        """Begin to publish; ``publish`` may be called from any thread."""

    def stop(self) -> None:
        """Publish no more, and end what was started."""

    def explain(self, number: int) -> Mapping[str, Any] | None:
        """The object of ``analysis.explanation`` for one fault, None if it is not there."""

    def moment_of(self, number: int) -> Position | None:
        """Just before fault ``number``, None if it is not there."""

    def moment_near(self, arena: int, at: Position, steps: int) -> Position:
        """One event of ``arena`` after ``at``, or before it if ``steps`` is below 0."""

    def picture(self, arena: int, at: Position) -> Picture:
        """The pages of ``arena`` at a moment."""

    def programs(self) -> Sequence[Mapping[str, Any]]:
        """Every program, with ``lines`` the number of lines known instead of the lines."""

    def page_timeline(self, arena: int, page: int) -> list[dict[str, Any]]:
        """What happened to a page, as ``analysis.page_timeline`` tells it."""
