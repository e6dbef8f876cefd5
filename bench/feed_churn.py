"""Write a growing trace whose arenas, programs, stacks and symbols are always new.

    python -m bench.feed_churn TRACE DIRECTORY EVENTS_PER_SECOND SECONDS

Each round has its own arenas, programs, stacks, symbols and task names, and the arenas and programs
of the round before are gone: hours of a test suite, as a recorder sees them. TRACE is one of
``tests/data/generate_trace.py``. The result is never sealed.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from arenatrace.schema import Kind
from arenatrace.trace.arrow_schema import arrow_schema
from arenatrace.trace.meta import read_meta
from arenatrace.trace.writer import TraceWriter
from bench.feed_trace import append, later, paced, tables_of

#: Frames above the program's own, each known by a symbol of its own.
_CALLER = 0xFFFF_FFFF_8100_0000


class Round:
    """The ``number``-th round of ``events``, which last ``span_ns``."""

    def __init__(self, tables: dict[str, pa.Table], events: pa.Table, number: int) -> None:
        self._number = number
        self._arenas = tables["arenas"].to_pylist()
        self._programs = tables["programs"].to_pylist()
        times = events["ts_ns"].to_numpy()
        self._span_ns = int(times[-1] - times[0]) + 1_000_000
        self._begin_ns = int(times[0]) + number * self._span_ns - 1
        self._faults = np.flatnonzero(events["kind"].to_numpy() == int(Kind.PROG_FAULT))
        self._events = events

    def rows(self) -> dict[str, list[dict[str, Any]]]:
        """Rows of the tables beside the events, and of what is gone."""
        number, begin = self._number, self._begin_ns
        renamed = self._renamed
        arenas = [
            {**row, "arena": renamed("arena", row, number), "create_ts_ns": begin}
            for row in self._arenas
        ]
        programs = [
            {**row, **{key: renamed(key, row, number) for key in ("prog", "id", "arena")}}
            | {"load_ts_ns": begin, "name": f"{row['name']}_{number}"}
            for row in self._programs
        ]
        if number:
            arenas += [
                {"arena": renamed("arena", row, number - 1), "destroy_ts_ns": begin}
                for row in self._arenas
            ]
            programs += [
                {"prog": renamed("prog", row, number - 1), "unload_ts_ns": begin}
                for row in self._programs
            ]
        first = 1 + number * len(self._faults)
        code = self._programs[0]["funcs"][0]["start"] + 16
        ids = range(first, first + len(self._faults))
        return {
            "arenas": arenas,
            "programs": programs,
            "stacks": [{"stack": one, "frames": [code, _CALLER + one * 16]} for one in ids],
            "symbols": [
                {"ts_ns": begin, "addr": _CALLER + one * 16, "name": f"caller_{one}", "offset": 0}
                for one in ids
            ],
        }

    def _renamed(self, key: str, row: dict[str, Any], number: int) -> int:
        of = self._arenas if key == "arena" else self._programs
        return int(row[key]) + number * len(of)

    def events(self) -> pa.Table:
        """The events of this round."""
        number, table = self._number, later(self._events, self._number, self._span_ns)
        stacks = np.zeros(len(table), np.uint32)
        stacks[self._faults] = 1 + np.arange(len(self._faults)) + number * len(self._faults)
        arena = table["arena"].to_numpy() + np.uint32(number * len(self._arenas))
        prog = pa.compute.add(table["prog"], pa.scalar(number * len(self._programs), pa.uint32()))
        codes = table["comm"].combine_chunks()
        if isinstance(codes, pa.ChunkedArray):
            codes = codes.chunk(0)
        names = [f"{name}.{number}"[:15] for name in codes.dictionary.to_pylist()]
        comm = pa.DictionaryArray.from_arrays(codes.indices, names)
        columns = {
            "arena": pa.array(arena),
            "prog": prog,
            "stack": pa.array(stacks, mask=stacks == 0),
            "comm": comm,
        }
        for name, column in columns.items():
            place = table.schema.get_field_index(name)
            table = table.set_column(place, table.schema.field(place), column)
        return table


def feed(trace: Path, directory: Path, per_second: int, seconds: float) -> int:
    """Write; the number of events written."""
    tables = tables_of(trace)
    events = tables.pop("events").combine_chunks()
    meta = replace(read_meta(trace), sealed=False, checksums={}, end_ts_ns=None, notices=())
    writer = TraceWriter(directory, meta)
    return paced(writer, per_second, seconds, lambda number: _begin(writer, tables, events, number))


def _begin(
    writer: TraceWriter, tables: dict[str, pa.Table], events: pa.Table, number: int
) -> pa.Table:
    """Write what a round needs; its events."""
    one = Round(tables, events, number)
    for name, rows in one.rows().items():
        append(writer, name, pa.Table.from_pylist(rows, schema=arrow_schema(name)))
    return one.events()


if __name__ == "__main__":
    print(feed(Path(sys.argv[1]), Path(sys.argv[2]), int(float(sys.argv[3])), float(sys.argv[4])))
