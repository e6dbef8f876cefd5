"""Faults over time, as bars that fit the given width."""

from __future__ import annotations

import numpy as np
import polars as pl
from rich.text import Text
from textual.widget import Widget

from arenatrace.report.units import seconds

_EIGHTHS = " ▁▂▃▄▅▆▇█"
#: Columns on the left for the count of the highest bar.
_AXIS = 10


def bins(times_ns: pl.Series, begin_ns: int, end_ns: int, width: int) -> list[int]:
    """Return how many of ``times_ns`` are in each of ``width`` equal parts of the time."""
    known = times_ns.drop_nulls().to_numpy()
    if width < 1 or not len(known):
        return [0] * max(0, width)
    span = max(1, end_ns - begin_ns)
    bins = (known.astype(np.float64) - begin_ns) * width / span
    index = np.clip(bins.astype(np.int64), 0, width - 1)
    return [int(number) for number in np.bincount(index, minlength=width)]


def bars(numbers: list[int], height: int) -> list[str]:
    """Return lines from top to bottom; every bin above 0 is visible."""
    most = max(numbers, default=0)
    steps = len(_EIGHTHS) - 1
    lines = []
    for line in range(height - 1, -1, -1):
        text = ""
        for number in numbers:
            level = -(-number * height * steps // most) if most else 0
            text += _EIGHTHS[max(0, min(steps, level - line * steps))]
        lines.append(text)
    return lines


class Histogram(Widget):
    """Faults over the time of the recording."""

    def __init__(self, *, id: str) -> None:  # noqa: A002
        super().__init__(id=id)
        self._times = pl.Series([], dtype=pl.Int64)
        self._start = self._begin = self._end = 0
        self._unlisted = 0

    def show(
        self,
        faults: pl.DataFrame | None,
        start_ns: int,
        duration_ns: int | None,
        unlisted: int = 0,
    ) -> None:
        """Show the times of ``faults`` of a recording that began at ``start_ns``.

        If ``unlisted`` older faults are missing, the time begins with the first listed fault: an
        empty beginning would look like one without faults.
        """
        self._times = pl.Series([], dtype=pl.Int64) if faults is None else faults["ts_ns"]
        last = int(self._times.max() or 0)  # type: ignore[arg-type]
        end = last if duration_ns is None else start_ns + duration_ns
        first = int(self._times.min() or start_ns) if unlisted else start_ns  # type: ignore[arg-type]
        self._start, self._begin, self._end = start_ns, first, max(end, last, first + 1)
        self._unlisted = unlisted
        self.refresh()

    def render(self) -> Text:
        """Return the bars, the highest count, and both ends of the time."""
        if self._times.drop_nulls().is_empty():
            return Text("")
        width = max(1, self.size.width - _AXIS)
        numbers = bins(self._times, self._begin, self._end, width)
        most = f"{max(numbers):,}"
        text = Text(no_wrap=True)
        for index, line in enumerate(bars(numbers, max(1, self.size.height - 1))):
            label = most if index == 0 else ""
            text.append(f"{label:>{_AXIS - 2}} ", "dim")
            text.append(f"{line}\n", "yellow")
        right = seconds(self._end - self._start)
        left = "faults over time, from 0 s"
        if self._unlisted:
            left = f"the newest faults, from {seconds(self._begin - self._start)}"
        text.append(f"{'':>{_AXIS - 1}}{left}{right:>{max(1, width - len(left))}}", "dim")
        return text
