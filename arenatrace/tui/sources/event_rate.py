"""How fast something comes."""

from __future__ import annotations

_OVER_S = 1.0


class EventRate:
    """Events a second, over the last second or so."""

    def __init__(self, now: float) -> None:
        self.per_s = 0.0
        self._since = now
        self._before = 0

    def count(self, events: int, now: float) -> None:
        """``events`` have come by ``now``, s."""
        passed = now - self._since
        if passed >= _OVER_S:
            self.per_s = (events - self._before) / passed
            self._since, self._before = now, events
