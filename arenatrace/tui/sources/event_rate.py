"""Events per second."""

from __future__ import annotations

_OVER_S = 1.0


class EventRate:
    """Events per second over about the last second."""

    def __init__(self, now: float) -> None:
        self.per_s = 0.0
        self._since = now
        self._before = 0

    def count(self, events: int, now: float) -> None:
        """Add ``events`` that arrived by ``now``, s."""
        passed = now - self._since
        if passed >= _OVER_S:
            self.per_s = (events - self._before) / passed
            self._since, self._before = now, events
