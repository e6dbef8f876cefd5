"""What is said where there is no room for a screen."""

from __future__ import annotations

from textual.geometry import Size
from textual.widgets import Static

#: Columns and lines without which nothing sensible can be drawn.
LEAST_SIZE = Size(60, 16)


class TooSmall(Static):
    """Takes the place of everything else on a terminal that is too small."""

    def measure(self, size: Size) -> bool:
        """Whether ``size`` is too small; says so, and what is needed."""
        least = f"{LEAST_SIZE.width} x {LEAST_SIZE.height} are needed"
        self.update(f"{size.width} x {size.height} is too small:\n{least}")
        return size.width < LEAST_SIZE.width or size.height < LEAST_SIZE.height
