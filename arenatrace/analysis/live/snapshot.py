"""Immutable snapshot of the live window, its diagnosis and its compaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from arenatrace.analysis.faults import diagnosed_faults, fault_contract, placed_faults
from arenatrace.analysis.live import retained as limits
from arenatrace.analysis.live.last_operations import last_operations
from arenatrace.analysis.live.relevant_events import in_order, relevant_operations
from arenatrace.analysis.live.retained import Retained
from arenatrace.schema import Outcome
from arenatrace.trace.meta import Meta
from arenatrace.trace.reader import Trace

_ORDER = ["ts_ns", "seq"]


@dataclass(frozen=True)
class WindowSnapshot:
    """Everything in memory at one time. It is immutable, so any thread may work on it.

    Attributes:
        path: directory of the trace.
        meta: its ``Meta`` as last read.
        lost: lost events by label.
        tables: tables other than events.
        retained: state of the last compaction.
        new_operations: batches of page operations since then.
        new_faults: events of faults since then.
        related: other events that explain faults.
    """

    path: Path
    meta: Meta
    lost: Mapping[str, int]
    tables: Mapping[str, pl.DataFrame]
    retained: Retained
    new_operations: Sequence[pl.DataFrame]
    new_faults: pl.DataFrame
    related: Sequence[pl.DataFrame]

    @property
    def fault_count(self) -> int:
        """Faults so far, evicted ones included."""
        return self.retained.last_diagnosed + len(self.new_faults)

    def trace(self) -> Trace:
        """Return the events in memory as a trace; faults start at ``evicted_faults + 1``.

        The events are lazy: a query for a few of them need not sort all of them.
        """
        return self._trace(_sorted(self._events()))

    def state_trace(self) -> Trace:
        """Return ``trace`` with the scratch installs of evicted faults, for states of pages."""
        return self._trace(_sorted([*self._events(), self.retained.installs]))

    def diagnosed(self) -> pl.DataFrame:
        """Return the rows of ``diagnosed_faults`` for all faults in memory."""
        earlier = self.retained.rows
        if earlier is not None and not len(self.new_faults):
            return earlier
        first = self.retained.evicted_faults + 1
        rows = diagnosed_faults(self._trace(self._relevant_events().lazy()), first=first)
        if earlier is None:
            return rows
        new = rows.filter(pl.col("fault") > self.retained.last_diagnosed)
        return pl.concat([earlier, new], how="vertical_relaxed")

    def _relevant_events(self) -> pl.DataFrame:
        """Return the events that a diagnosis of the new faults needs."""
        retained = self.retained
        others = in_order([retained.faults, self.new_faults, *self.related])
        first = retained.evicted_faults + 1
        faults = placed_faults(self._trace(others.lazy()), first).collect()
        new = faults.filter(pl.col("fault") > retained.last_diagnosed)
        operations = [retained.operations, retained.recent, *self.new_operations]
        found = relevant_operations(operations, new, self.tables["arenas"])
        return in_order([found, others])

    def compacted(self, rows: pl.DataFrame) -> Retained:
        """Return the next ``retained`` state, with ``rows`` of ``diagnosed`` as final diagnoses.

        The window advances if enough operations are new.
        """
        # The end of a scratch page that is still installed is not followed any further.
        rows = rows.with_columns(
            ended_by=pl.when(pl.col("ended_by") != "open").then(pl.col("ended_by"))
        )
        excess = max(0, len(rows) - limits.MAX_FAULTS)
        tally = self.retained.tally
        faults = in_order([self.retained.faults, self.new_faults])
        installs, evicted_installs = _installs(self.retained, faults.head(excess))
        if excess:
            tally = tally.plus(fault_contract(rows.head(excess).lazy()).collect())
        after = replace(
            self.retained,
            rows=rows.slice(excess).rechunk(),
            tally=tally,
            faults=faults.slice(excess).rechunk(),
            installs=installs,
            evicted_installs=evicted_installs,
            evicted_faults=self.retained.evicted_faults + excess,
            last_diagnosed=self.fault_count,
        )
        return self._advanced(after) if self.can_advance else after

    @property
    def can_advance(self) -> bool:
        """Whether enough operations are new for the window to advance."""
        return sum(map(len, self.new_operations)) > limits.MAX_NEW_OPERATIONS

    def _advanced(self, retained: Retained) -> Retained:
        is_listed = pl.col("arena").is_in(self.tables["arenas"]["arena"].implode())
        before = in_order([retained.operations, retained.recent])
        # Nothing can show the pages of an arena that was evicted from its table.
        before = before.filter(is_listed | pl.col("arena").is_null())
        per_range = retained.per_range
        operations = last_operations(before, per_range)
        if len(operations) > limits.MAX_OPERATIONS and per_range > 1:
            per_range = 1
            operations = last_operations(operations, per_range)
        excess = max(0, len(operations) - limits.MAX_OPERATIONS)
        evicted_until = (
            int(operations["ts_ns"][excess - 1]) if excess else retained.evicted_until_ns
        )
        recent = in_order(self.new_operations).rechunk()
        return replace(
            retained,
            operations=operations.slice(excess).rechunk(),
            recent=recent,
            complete_since_ns=(
                _complete_since(before, recent) if len(before) else retained.complete_since_ns
            ),
            evicted_until_ns=evicted_until,
            per_range=per_range,
        )

    def _events(self) -> list[pl.DataFrame]:
        retained = self.retained
        return [
            *(retained.operations, retained.recent, *self.new_operations),
            *(retained.faults, self.new_faults, *self.related),
        ]

    def _trace(self, events: pl.LazyFrame) -> Trace:
        tables = {name: rows.lazy() for name, rows in self.tables.items()}
        tables["events"] = events
        evicted_until = self.retained.evicted_until_ns
        if evicted_until is not None:
            is_old = pl.col("create_ts_ns").is_null() | (pl.col("create_ts_ns") <= evicted_until)
            tables["arenas"] = tables["arenas"].with_columns(
                preexisting=pl.col("preexisting").fill_null(value=False) | is_old
            )
        trace = Trace(self.path, self.meta, tables)
        trace.lost |= self.lost
        return trace


def _sorted(parts: Sequence[pl.DataFrame]) -> pl.LazyFrame:
    # One frame of many chunks: polars would scan many lazy frames in a thread each.
    return pl.concat(parts).lazy().sort(_ORDER)


def _complete_since(before: pl.DataFrame, recent: pl.DataFrame) -> int:
    """Return the time from which all operations are there; events may arrive a little late."""
    return max(int(recent["ts_ns"][0]), int(before["ts_ns"][-1]) + 1)


def _installs(retained: Retained, evicted: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Return the last scratch install of each page of evicted faults, and how many are evicted."""
    new = evicted.filter(pl.col("outcome") == int(Outcome.SCRATCH_INSTALLED))
    if not len(new):
        return retained.installs, retained.evicted_installs
    last = pl.concat([retained.installs, new]).unique(
        ["arena", "pgoff"], keep="last", maintain_order=True
    )
    excess = max(0, len(last) - limits.MAX_INSTALLS)
    return last.slice(excess).rechunk(), retained.evicted_installs + excess
