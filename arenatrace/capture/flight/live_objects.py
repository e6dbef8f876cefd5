"""Live arena and program rows, replayed at the start of each segment."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from arenatrace.schema import KEYED
from arenatrace.trace.arrow_schema import arrow_schema

#: Tables of objects with a lifetime, and the column with its end.
_ENDED = {"arenas": "destroy_ts_ns", "programs": "unload_ts_ns"}


class LiveObjects:
    """Rows of ``arenas`` and ``programs``, one per key, of objects that may still matter."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[int, dict[str, Any]]] = {table: {} for table in _ENDED}

    def take(self, table: str, batch: pa.RecordBatch) -> None:
        """Update from rows that are being written; other tables are ignored."""
        known = self._rows.get(table)
        if known is None:
            return
        for row in batch.to_pylist():
            merged = known.setdefault(row[KEYED[table]], {})
            merged.update({name: value for name, value in row.items() if value is not None})

    def forget(self, before_ns: int) -> None:
        """Drop objects that ended before ``before_ns``, CLOCK_MONOTONIC ns."""
        for table, known in self._rows.items():
            ended = _ENDED[table]
            for key in [key for key, row in known.items() if row.get(ended, before_ns) < before_ns]:
                del known[key]

    def batches(self) -> list[tuple[str, pa.RecordBatch]]:
        """Return all objects as first rows of new files, marked pre-existing."""
        found = []
        for table, known in self._rows.items():
            rows = [{**row, "preexisting": True} for row in known.values()]
            if rows:
                found.append((table, pa.RecordBatch.from_pylist(rows, schema=arrow_schema(table))))
        return found
