"""A whole trace given to a ``LiveWindow`` batch by batch, as a recording under way would."""

from __future__ import annotations

from arenatrace.analysis.live.window import LiveWindow
from arenatrace.schema import TABLES
from arenatrace.trace.reader import Trace


def fed(trace: Trace, rows: int) -> LiveWindow:
    """What is held of ``trace`` after batches of ``rows`` events, settled whenever it is due."""
    recent = LiveWindow(trace.path, trace.meta)
    for table in TABLES:
        if table != "events":
            recent.add(table, trace.scan(table).collect())
    events = trace.scan("events").collect()
    for start in range(0, len(events), rows):
        recent.add("events", events.slice(start, rows))
        if recent.needs_compaction:
            recent.compact()
    return recent
