"""Message for a terminal that is too small."""

from __future__ import annotations

from textual.geometry import Size
from textual.widgets import Static

#: Smallest usable columns and lines.
LEAST_SIZE = Size(60, 16)


class TooSmall(Static):
    """Covers everything else on a terminal that is too small."""

    def measure(self, size: Size) -> bool:
        """Return whether ``size`` is too small, and set the message."""
        least = f"{LEAST_SIZE.width} x {LEAST_SIZE.height} are needed"
        self.update(f"{size.width} x {size.height} is too small:\n{least}")
        return size.width < LEAST_SIZE.width or size.height < LEAST_SIZE.height
