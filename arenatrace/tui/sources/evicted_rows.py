"""Warnings about table rows that a live view no longer lists."""

from __future__ import annotations

from arenatrace.analysis.live.window import LiveWindow
from arenatrace.report.units import count

_NAMES = {"arenas": "arena", "programs": "program", "stacks": "call stack"}


def evicted_rows(recent: LiveWindow) -> list[str]:
    """Return one warning per table with evicted rows. Counts and the trace still have them."""
    return [
        f"{count(number, _NAMES[table])} evicted: listed when the recording ends"
        for table, number in recent.evicted.items()
        if number
    ]
