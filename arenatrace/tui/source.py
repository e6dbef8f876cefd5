"""Where a screen gets its data from. The real sources read traces; tests bring their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

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
