"""Write a recorded trace as a recorder would: unsealed, at a fixed rate of events.

    python -m bench.feed_trace TRACE DIRECTORY EVENTS_PER_SECOND [SECONDS]

The events repeat with later timestamps until the seconds are over; then the trace is sealed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from arenatrace.schema import TABLES
from arenatrace.trace.arrow_schema import arrow_schema
from arenatrace.trace.meta import read_meta
from arenatrace.trace.recover import conform
from arenatrace.trace.writer import TraceWriter

#: Batches a second; a recorder looks at its rings 20 times.
TICKS = 20


def tables_of(trace: Path) -> dict[str, pa.Table]:
    """All tables of a sealed trace."""
    return {name: pq.read_table(trace / f"{name}.parquet") for name in TABLES}


def append(writer: TraceWriter, name: str, table: pa.Table) -> None:
    """Append rows as the batches that a recorder would write."""
    for batch in table.combine_chunks().to_batches():
        writer.append(name, conform(batch, arrow_schema(name)))


def later(events: pa.Table, round_: int, span_ns: int) -> pa.Table:
    """``events`` once more, after all that came before."""
    for name, step in (("ts_ns", span_ns), ("seq", len(events))):
        place = events.schema.get_field_index(name)
        column = events[name].to_numpy() + np.asarray(step * round_, events[name].to_numpy().dtype)
        events = events.set_column(place, events.schema.field(place), pa.array(column))
    return events


def paced(
    writer: TraceWriter, per_second: int, seconds: float, begin: Callable[[int], pa.Table]
) -> int:
    """Write the events of ``begin(0)``, ``begin(1)``, ... at that rate; how many were written."""
    begun = time.monotonic()
    written = at = number = 0
    chunk = begin(number)
    while (passed := time.monotonic() - begun) < seconds:
        due = int(passed * per_second)
        while written < due:
            take = min(due - written, len(chunk) - at)
            append(writer, "events", chunk.slice(at, take))
            written, at = written + take, at + take
            if at == len(chunk):
                at, number = 0, number + 1
                chunk = begin(number)
        writer.flush()
        time.sleep(1 / TICKS)
    return written


def feed(trace: Path, directory: Path, per_second: int, seconds: float) -> int:
    """Write; the number of events written."""
    tables = tables_of(trace)
    events = tables.pop("events").combine_chunks()
    times = events["ts_ns"].to_numpy()
    span_ns = int(times[-1] - times[0]) + 1_000_000
    meta = read_meta(trace)
    writer = TraceWriter(
        directory, replace(meta, sealed=False, checksums={}, end_ts_ns=None, notices=())
    )
    for name, table in tables.items():
        append(writer, name, table)
    writer.flush()
    written = paced(
        writer,
        per_second,
        seconds,
        lambda round_: later(events, round_, span_ns) if round_ else events,
    )
    writer.close()
    return written


if __name__ == "__main__":
    limit = float(sys.argv[4]) if len(sys.argv) > 4 else 3600.0
    print(feed(Path(sys.argv[1]), Path(sys.argv[2]), int(float(sys.argv[3])), limit))
