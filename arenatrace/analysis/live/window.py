"""Bounded in-memory window over a live recording."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from arenatrace.analysis.explanation import OPERATION_COLUMNS
from arenatrace.analysis.live import eviction, retained
from arenatrace.analysis.live.retained import Retained, empty_table, nothing_retained
from arenatrace.analysis.live.snapshot import WindowSnapshot
from arenatrace.analysis.totals import arena_totals, event_totals
from arenatrace.schema import FAULT_KINDS, KEYED, TABLES, Kind
from arenatrace.trace.losses import label_of
from arenatrace.trace.meta import Meta
from arenatrace.trace.tables import merge_rows

#: Marks of losses in memory. Losses whose mark is evicted count as undated.
MAX_LOSSES = 1_000

#: Smaller batches are joined, so that the window does not consist of thousands of frames.
_MIN_BATCH_ROWS = 10_000

_FAULT_KINDS = [int(kind) for kind in FAULT_KINDS]
_PAGE_KINDS = [
    int(kind) for kind in (Kind.PAGE_ALLOC, Kind.PAGE_FREE, Kind.PAGE_RESERVE, Kind.USER_FAULT)
]
_KERNEL_KINDS = [int(Kind.KERNEL_ALLOC), int(Kind.KERNEL_FREE)]
#: Columns of faults that are keys of other tables.
_REFERENCES = ["arena", "prog", "stack", "ip"]
_DRAIN, _LOST = int(Kind.FREE_DRAIN), int(Kind.LOST)


class LiveWindow:
    """The last events of a live recording and the table rows that they reference.

    ``add`` takes batches as they arrive. While ``needs_compaction`` is true, a caller computes
    ``snapshot().compacted(...)``, which is slow and may run in another thread, and passes the
    result to ``adopt``. While ``is_full`` is true, no batch may be added.

    Attributes:
        totals: counts of all events so far, by the names of ``event_totals``.
        last_ts_ns: time of the newest event, ns.
        evicted: rows evicted so far, by table. Of stacks only referenced ones count.
    """

    def __init__(self, path: Path, meta: Meta) -> None:
        self.path = path
        self.meta = meta
        self.totals: dict[str, int] = {}
        self.last_ts_ns: int | None = None
        self.evicted: dict[str, int] = {"arenas": 0, "programs": 0, "stacks": 0}
        self._retained: Retained = nothing_retained()
        self._new_operations: list[pl.DataFrame] = []
        self._new_operation_count = 0
        self._new_faults = empty_table("events")
        self._losses = empty_table("events")
        self._lost: dict[str, int] = {}
        self._kernel_memory = empty_table("events")
        self._activity = arena_totals(self._new_faults.lazy()).collect()
        self._tables = {name: empty_table(name) for name in TABLES if name != "events"}

    def add(self, table: str, rows: pl.DataFrame) -> None:
        """Add a batch of ``table``."""
        if table == "events":
            self._add_events(rows)
            return
        merged = merge_rows(table, pl.concat([self._tables[table], rows]).lazy()).collect()
        if table == "symbols":
            merged = merged.unique(["addr", "name", "module"], keep="first", maintain_order=True)
        needed = self._needed()
        if table == "stacks" and len(merged) > eviction.MAX_ROWS:
            needed = pl.concat([needed, *self._stacks_of_operations()], how="diagonal")
        left = eviction.retained_rows(table, {**self._tables, table: merged}, needed)
        if table in self.evicted and len(left) < len(merged):
            gone = merged.join(left, on=KEYED[table], how="anti")
            if table == "stacks":
                gone = gone.join(needed, on="stack", how="semi")
            self.evicted[table] += len(gone)
        self._tables[table] = left

    def snapshot(self) -> WindowSnapshot:
        """Return a snapshot of everything in memory."""
        return WindowSnapshot(
            path=self.path,
            meta=self.meta,
            lost={
                label: max(count, self.meta.lost.get(label, 0))
                for label, count in self._lost.items()
            },
            tables=dict(self._tables),
            retained=self._retained,
            new_operations=tuple(self._new_operations),
            new_faults=self._new_faults,
            related=(self._kernel_memory, self._losses),
        )

    def adopt(self, before: WindowSnapshot, compacted: Retained) -> None:
        """Replace the events of ``before`` by ``compacted``; newer events stay.

        Only one compaction may be under way at a time.
        """
        if before.can_advance:
            gone = sum(map(len, before.new_operations))
            rest = _without_first(gone, self._new_operations)
            self._new_operations = [frame for frame in rest if len(frame)]
            self._new_operation_count -= gone
        self._new_faults = self._new_faults.slice(len(before.new_faults)).rechunk()
        self._retained = compacted

    def compact(self) -> None:
        """Make the diagnosis of the faults in memory final, and evict rows no longer needed."""
        before = self.snapshot()
        self.adopt(before, before.compacted(before.diagnosed()))

    @property
    def needs_compaction(self) -> bool:
        """Whether enough events are new for a compaction."""
        return self._exceeds(1)

    @property
    def is_full(self) -> bool:
        """Whether a compaction must come before the next batch."""
        return self._exceeds(2)

    def _exceeds(self, factor: int) -> bool:
        return (
            len(self._new_faults) > factor * retained.MAX_FAULTS
            or self._new_operation_count > factor * retained.MAX_NEW_OPERATIONS
        )

    @property
    def fault_count(self) -> int:
        """Faults so far, evicted ones included."""
        return self._retained.last_diagnosed + len(self._new_faults)

    @property
    def complete_since_ns(self) -> int | None:
        """Time from which the state of every page is known; None: from the beginning."""
        return self._retained.complete_since_ns

    @property
    def activity(self) -> pl.DataFrame:
        """Rows of ``arena_totals`` for all events so far."""
        return self._activity

    def table(self, name: str) -> pl.DataFrame:
        """Return a table other than events."""
        return self._tables[name]

    def _add_events(self, rows: pl.DataFrame) -> None:
        rows = rows.with_columns(pl.col("comm").cast(pl.String))
        for name, number in event_totals(rows.lazy()).collect().row(0, named=True).items():
            if name == "last_ts_ns":
                self.last_ts_ns = max(self.last_ts_ns or 0, number or 0)
            else:
                self.totals[name] = self.totals.get(name, 0) + number
        kind = pl.col("kind")
        self._add_losses(rows.filter(kind == _LOST))
        kernel = rows.filter(kind.is_in(_KERNEL_KINDS))
        if len(kernel):
            kernel = pl.concat([self._kernel_memory, kernel])
            self._kernel_memory = kernel.tail(retained.MAX_FAULTS).rechunk()
        faults = rows.filter(kind.is_in(_FAULT_KINDS))
        if len(faults):
            self._new_faults = pl.concat([self._new_faults, faults])
        self._add_activity(rows)
        operations = rows.filter(kind.is_in([*_PAGE_KINDS, _DRAIN]))
        if len(operations):
            self._new_operation_count += len(operations)
            if self._new_operations and len(self._new_operations[-1]) < _MIN_BATCH_ROWS:
                operations = pl.concat([self._new_operations.pop(), operations]).rechunk()
            self._new_operations.append(operations)

    def _add_losses(self, marks: pl.DataFrame) -> None:
        if marks.is_empty():
            return
        counts = marks.select(pl.col("ret").fill_null(0), pl.col("pages").fill_null(1))
        for code, count in counts.iter_rows():
            self._lost[label_of(code)] = self._lost.get(label_of(code), 0) + count
        self.totals["lost"] = self.totals.get("lost", 0) + int(counts["pages"].cast(pl.Int64).sum())
        self._losses = pl.concat([self._losses, marks]).tail(MAX_LOSSES).rechunk()

    def _needed(self) -> pl.DataFrame:
        """Return the references of faults in memory, and of the operations that explain them."""
        faults = pl.concat([self._retained.faults, self._new_faults]).select(_REFERENCES)
        rows = self._retained.rows
        if rows is None:
            return faults
        explaining = [
            rows.select(pl.col(name).struct.field("stack", "prog")) for name in OPERATION_COLUMNS
        ]
        return pl.concat([faults, *explaining], how="diagonal")

    def _stacks_of_operations(self) -> list[pl.DataFrame]:
        """Return the stacks of operations in memory: any of them may explain a later fault."""
        parts = [self._retained.operations, self._retained.recent, *self._new_operations]
        return [part.select("stack").drop_nulls().unique() for part in parts]

    def _add_activity(self, rows: pl.DataFrame) -> None:
        both = pl.concat([self._activity, arena_totals(rows.lazy()).collect()])
        if self.evicted["arenas"] or len(both) > 2 * eviction.MAX_LISTED:
            # Evicted arenas are counted together.
            is_listed = pl.col("arena").is_in(self._tables["arenas"]["arena"].implode())
            both = both.with_columns(arena=pl.when(is_listed).then("arena"))
        self._activity = both.group_by("arena").sum()


def _without_first(rows: int, frames: list[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    for frame in frames:
        yield frame.slice(rows)
        rows = max(0, rows - len(frame))
