"""Feed a finished trace to a ``LiveWindow`` in batches."""

from __future__ import annotations

from arenatrace.analysis.live.window import LiveWindow
from arenatrace.schema import TABLES
from arenatrace.trace.reader import Trace


def feed(trace: Trace, rows: int) -> LiveWindow:
    """Return the window after batches of ``rows`` events, compacted whenever it needs it."""
    window = LiveWindow(trace.path, trace.meta)
    for table in TABLES:
        if table != "events":
            window.add(table, trace.scan(table).collect())
    events = trace.scan("events").collect()
    for start in range(0, len(events), rows):
        window.add("events", events.slice(start, rows))
        if window.needs_compaction:
            window.compact()
    return window
