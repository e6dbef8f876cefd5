"""What is held of a recording under way at one moment, and how it is made smaller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl

from arenatrace.analysis.faults import diagnosed_faults, fault_contract, placed_faults
from arenatrace.analysis.live.fault_tally import Tally
from arenatrace.analysis.live.last_operations import last_operations
from arenatrace.analysis.live.relevant_events import in_order, near_faults
from arenatrace.schema import Outcome
from arenatrace.trace.meta import Meta
from arenatrace.trace.polars_schema import polars_schema
from arenatrace.trace.reader import Trace

#: Faults that are held; older ones are only tallied.
FAULTS = 2_000
#: Operations on pages that are held at most of the time before the window, and new ones after
#: which the window moves on.
OPERATIONS = 300_000
FRESH = 200_000
#: Of one kind of operation on one range of pages so many are held: what a page's state, its
#: last free and its last allocation follow from, however often it was used before. One, once
#: that many do not fit.
EACH = 4
#: Pages whose last scratch page is remembered although its fault is not.
INSTALLS = 100_000

_ORDER = ["ts_ns", "seq"]


def empty(table: str) -> pl.DataFrame:
    """No row of ``table``.

    Names of tasks are texts here: polars remembers each value that a Categorical ever had for
    as long as there is any Categorical.
    """
    schema = polars_schema(table)
    return pl.DataFrame(schema={**schema, "comm": pl.String} if "comm" in schema else schema)


@dataclass(frozen=True)
class Kept:
    """What is left of everything up to some event, and the newest operations, which are whole.

    ``operations`` are the last ones of their pages before the window, ``window`` all of the
    newest ones. ``rows`` are diagnosed faults, those up to number ``settled``, without the
    first ``unlisted``; ``tally`` counts these. ``faults`` are their events, ``installs`` the
    events of unlisted ones whose scratch page may still stand.

    ``since_ns``: from this time on nothing is left out, so that the state of every page can be
    told; None: nothing was ever let go. ``forgotten_ns``: up to this time operations were let
    go that were the only ones of their pages (None: none). Pages of arenas older than that
    count as unknown, never as free. ``scratched_let_go`` are pages whose scratch page is not
    remembered any more.
    """

    operations: pl.DataFrame
    window: pl.DataFrame
    faults: pl.DataFrame
    installs: pl.DataFrame
    rows: pl.DataFrame | None = None
    tally: Tally = field(default_factory=Tally)
    unlisted: int = 0
    settled: int = 0
    since_ns: int | None = None
    forgotten_ns: int | None = None
    each: int = EACH
    scratched_let_go: int = 0


def nothing_kept() -> Kept:
    """Before the first event."""
    events = empty("events")
    return Kept(events, events, events, events)


@dataclass(frozen=True)
class Held:
    """All that is held at one moment; nothing in it changes, so any thread may work on it.

    ``fresh`` are batches of operations and ``faults`` faults that came since ``kept``;
    ``beside`` are other events that explain faults.
    """

    path: Path
    meta: Meta
    lost: Mapping[str, int]
    tables: Mapping[str, pl.DataFrame]
    kept: Kept
    fresh: Sequence[pl.DataFrame]
    faults: pl.DataFrame
    beside: Sequence[pl.DataFrame]

    @property
    def fault_count(self) -> int:
        """Faults that came so far."""
        return self.kept.settled + len(self.faults)

    def trace(self) -> Trace:
        """What is held, as a trace; its faults begin with number ``kept.unlisted + 1``.

        Lazy: whoever asks for a few events does not wait for the order of all, nor pay for it.
        """
        return self._trace(_in_time(self._events()))

    def states(self) -> Trace:
        """``trace`` for the states of pages: also scratch pages of unlisted faults."""
        return self._trace(_in_time([*self._events(), self.kept.installs]))

    def diagnosed(self) -> pl.DataFrame:
        """Rows of ``diagnosed_faults`` for all faults that are held."""
        settled = self.kept.rows
        if settled is not None and not len(self.faults):
            return settled
        rows = diagnosed_faults(self._trace(self._needed().lazy()), first=self.kept.unlisted + 1)
        if settled is None:
            return rows
        new = rows.filter(pl.col("fault") > self.kept.settled)
        return pl.concat([settled, new], how="vertical_relaxed")

    def _needed(self) -> pl.DataFrame:
        """The events that diagnosing new faults asks for."""
        kept = self.kept
        beside = in_order([kept.faults, self.faults, *self.beside])
        faults = placed_faults(self._trace(beside.lazy()), kept.unlisted + 1).collect()
        new = faults.filter(pl.col("fault") > kept.settled)
        operations = [kept.operations, kept.window, *self.fresh]
        found = near_faults(operations, new, self.tables["arenas"])
        return in_order([found, beside])

    def settled(self, rows: pl.DataFrame) -> Kept:
        """``kept`` with ``rows``, the diagnosed faults, for good: what explains them is here.

        The window moves on if enough operations came.
        """
        kept = self.kept
        # what becomes of a scratch page that still stands is not followed any further
        rows = rows.with_columns(
            ended_by=pl.when(pl.col("ended_by") != "open").then(pl.col("ended_by"))
        )
        extra = max(0, len(rows) - FAULTS)
        tally = kept.tally
        faults = in_order([kept.faults, self.faults])
        installs, let_go = _installs(kept, faults.head(extra))
        if extra:
            counted = fault_contract(rows.head(extra).lazy()).collect()
            tally = tally.plus(counted)
        after = replace(
            kept,
            rows=rows.slice(extra).rechunk(),
            tally=tally,
            faults=faults.slice(extra).rechunk(),
            installs=installs,
            scratched_let_go=let_go,
            unlisted=kept.unlisted + extra,
            settled=self.fault_count,
        )
        return self._moved_on(after) if self.moves_on else after

    @property
    def moves_on(self) -> bool:
        """Whether the window has had its time."""
        return sum(map(len, self.fresh)) > FRESH

    def _moved_on(self, kept: Kept) -> Kept:
        there = pl.col("arena").is_in(self.tables["arenas"]["arena"].implode())
        before = in_order([kept.operations, kept.window])
        # arenas that no table lists any more: nobody asks about their pages
        before = before.filter(there | pl.col("arena").is_null())
        operations, each = last_operations(before, kept.each), kept.each
        if len(operations) > OPERATIONS and each > 1:
            each = 1
            operations = last_operations(operations, 1)
        extra = max(0, len(operations) - OPERATIONS)
        forgotten = int(operations["ts_ns"][extra - 1]) if extra else kept.forgotten_ns
        window = in_order(self.fresh).rechunk()
        return replace(
            kept,
            operations=operations.slice(extra).rechunk(),
            window=window,
            since_ns=_since(before, window) if len(before) else kept.since_ns,
            forgotten_ns=forgotten,
            each=each,
        )

    def _events(self) -> list[pl.DataFrame]:
        kept = self.kept
        return [
            *(kept.operations, kept.window, *self.fresh),
            *(kept.faults, self.faults, *self.beside),
        ]

    def _trace(self, events: pl.LazyFrame) -> Trace:
        tables = {name: rows.lazy() for name, rows in self.tables.items()}
        tables["events"] = events
        forgotten = self.kept.forgotten_ns
        if forgotten is not None:
            old = pl.col("create_ts_ns").is_null() | (pl.col("create_ts_ns") <= forgotten)
            tables["arenas"] = tables["arenas"].with_columns(
                preexisting=pl.col("preexisting").fill_null(value=False) | old
            )
        trace = Trace(self.path, self.meta, tables)
        trace.lost |= self.lost
        return trace


def _in_time(parts: Sequence[pl.DataFrame]) -> pl.LazyFrame:
    # one frame of many chunks: of many lazy frames polars would read each in a thread of its own
    return pl.concat(parts).lazy().sort(_ORDER)


def _since(before: pl.DataFrame, window: pl.DataFrame) -> int:
    """From when on all is there: events may come a little late."""
    return max(int(window["ts_ns"][0]), int(before["ts_ns"][-1]) + 1)


def _installs(kept: Kept, unlisted: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """The last scratch page of each page, of faults that are not listed any more."""
    new = unlisted.filter(pl.col("outcome") == int(Outcome.SCRATCH_INSTALLED))
    if not len(new):
        return kept.installs, kept.scratched_let_go
    every = pl.concat([kept.installs, new]).unique(
        ["arena", "pgoff"], keep="last", maintain_order=True
    )
    extra = max(0, len(every) - INSTALLS)
    return every.slice(extra).rechunk(), kept.scratched_let_go + extra
