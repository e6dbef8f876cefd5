"""State that a live recording keeps in memory after compaction, and its row limits."""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

from arenatrace.analysis.live.fault_tally import FaultTally
from arenatrace.trace.polars_schema import polars_schema

#: Diagnosed faults in memory; older ones are only tallied.
MAX_FAULTS = 2_000
#: Page operations in memory from before the recent ones.
MAX_OPERATIONS = 300_000
#: New page operations after which the window advances.
MAX_NEW_OPERATIONS = 200_000
#: Operations of one kind on one range of pages that are retained. The state of a page, its last
#: free and its last allocation follow from these. The limit drops to 1 when they do not fit.
PER_RANGE_LIMIT = 4
#: Pages whose last scratch install is remembered after the fault itself was evicted.
MAX_INSTALLS = 100_000


def empty_table(table: str) -> pl.DataFrame:
    """Return an empty ``table``.

    Task names are strings here: polars keeps every value that a Categorical ever had for as
    long as any Categorical exists.
    """
    schema = polars_schema(table)
    return pl.DataFrame(schema={**schema, "comm": pl.String} if "comm" in schema else schema)


@dataclass(frozen=True)
class Retained:
    """Rows retained from the events before the last compaction.

    Attributes:
        operations: last operations of each page before ``recent``.
        recent: all of the newest operations, complete.
        faults: events of the diagnosed faults in ``rows``.
        installs: events of evicted faults whose scratch page may still be installed.
        rows: diagnosed faults, without the first ``evicted_faults``.
        tally: counts of the evicted faults.
        evicted_faults: number of faults that are only tallied.
        last_diagnosed: number of the last fault in ``rows``.
        complete_since_ns: all operations since this time are in memory, so that the state of
            every page is known; None if nothing was ever evicted.
        evicted_until_ns: up to this time, operations were evicted that were the only ones of
            their pages; None if there were none. Pages of arenas older than that count as
            unknown, never as free.
        per_range: current limit of operations of one kind on one range.
        evicted_installs: pages whose scratch install is no longer remembered.
    """

    operations: pl.DataFrame
    recent: pl.DataFrame
    faults: pl.DataFrame
    installs: pl.DataFrame
    rows: pl.DataFrame | None = None
    tally: FaultTally = field(default_factory=FaultTally)
    evicted_faults: int = 0
    last_diagnosed: int = 0
    complete_since_ns: int | None = None
    evicted_until_ns: int | None = None
    per_range: int = PER_RANGE_LIMIT
    evicted_installs: int = 0


def nothing_retained() -> Retained:
    """Return the state before the first event."""
    events = empty_table("events")
    return Retained(events, events, events, events)
