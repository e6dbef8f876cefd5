"""Last operations on pages before given positions, in one pass and bounded memory."""

from __future__ import annotations

import numpy as np
import polars as pl

from arenatrace.analysis.pages.arrays import Ints
from arenatrace.analysis.pages.operations import Op
from arenatrace.analysis.pages.page_set import PageSet
from arenatrace.analysis.pages.position_rank import PositionRanks

#: Columns of an operation in the result.
_OPERATION = {
    "ts_ns": pl.Int64,
    "seq": pl.UInt64,
    "op": pl.UInt8,
    "pgoff": pl.UInt32,
    "pages": pl.UInt32,
    "pid": pl.UInt32,
    "tid": pl.UInt32,
    "comm": pl.String,
}

#: Candidate rows above which superseded ones are dropped.
_MAX_CANDIDATES = 1 << 19

#: Effect of an operation on a page.
_UNMAPPED, _ALLOCATED, _MAPPED, _NO_EFFECT = range(4)
_EFFECTS = {
    Op.FREE: _UNMAPPED,
    Op.RESERVE: _UNMAPPED,
    Op.ALLOC: _ALLOCATED,
    Op.USER_MAP: _MAPPED,
}


class NeighbourStates:
    """Operations that determine the states of target pages at the positions of their faults.

    ``targets`` has ``ts_ns``, ``seq``, ``arena`` and ``near``, a page in ``page_set``. Operations
    are added in (ts_ns, seq) order. Between two positions of a page at most three of them matter:
    the last that unmapped it, the last that allocated it, and the first user mapping after it was
    unmapped. Memory grows with the positions, not with the operations.
    """

    def __init__(self, targets: pl.DataFrame, page_set: PageSet) -> None:
        self._page_set = page_set
        self._ranks = PositionRanks(targets)
        self._width = len(self._ranks) + 1
        page = page_set.index(targets.select("arena", page="near"))
        #: One slot per page and position, in this order.
        slots = pl.Series(page * self._width + self._ranks.rank(targets))
        self._slots = slots.unique().sort().to_numpy()
        self._page_of = self._slots // self._width
        every = np.arange(len(page_set) + 1)
        self._first_slot = np.searchsorted(self._page_of, every)
        # By effect and slot: the order of the operation that determines the state, -1 if none.
        self._winners = np.full((_NO_EFFECT, len(self._slots)), -1, np.int64)
        self._candidates: list[pl.DataFrame] = []
        self._candidate_count = 0
        self._is_queued = np.zeros(len(page_set), np.bool_)

    def add(self, rows: pl.DataFrame, row: Ints, page: Ints, drains: pl.DataFrame) -> None:
        """Add operations.

        Args:
            rows: operations, with ``order``, their number among all rows ever added.
            row: row numbers, one for each covered page.
            page: index in the page set of each covered page.
            drains: ``free_drain`` events, with ``order``.
        """
        codes = rows["op"].to_numpy()[row]
        queued = codes == int(Op.QUEUE)
        if queued.any() or len(drains):
            drain, freed = self._drained(rows, row[queued], page[queued], drains)
            self._take(_operation_rows(drains, op=pl.lit(int(Op.FREE))), drain, freed)
        has_effect = np.isin(codes, [int(op) for op in _EFFECTS])
        self._take(_operation_rows(rows, op=pl.col("op")), row[has_effect], page[has_effect])
        if self._candidate_count > _MAX_CANDIDATES:
            self._drop_superseded()

    def operations(self) -> pl.DataFrame:
        """Return the operations that ``near_allocations`` needs, in (ts_ns, seq) order."""
        self._drop_superseded()
        rows = pl.concat([pl.DataFrame(schema=_SCHEMA), *self._candidates])
        return rows.sort("order").drop("order", "slot", "effect")

    def _take(self, rows: pl.DataFrame, row: Ints, page: Ints) -> None:
        slot = self._slot(page, self._ranks.rank(rows)[row])
        has_slot = slot < self._first_slot[page + 1]
        row, page, slot = row[has_slot], page[has_slot], slot[has_slot]
        order, effect = (rows[name].to_numpy()[row] for name in ("order", "effect"))
        for code in (_UNMAPPED, _ALLOCATED):
            matching = effect == code
            np.maximum.at(self._winners[code], slot[matching], order[matching])
        self._map(slot, order, effect == _MAPPED)
        winning = self._winning(slot, effect, order)
        self._append(rows[row[winning]], page[winning], slot[winning])

    def _slot(self, page: Ints, rank: Ints) -> Ints:
        """Return the slot of the first position of ``page`` at or after ``rank``, or one past."""
        wanted = page * self._width + rank
        slot = self._first_slot[page]
        # Most pages have one slot or none; only the others need a search.
        early = np.flatnonzero(slot < self._first_slot[page + 1])
        early = early[self._slots[slot[early]] < wanted[early]]
        slot[early] = np.searchsorted(self._slots, wanted[early])
        return slot

    def _map(self, slot: Ints, order: Ints, mapped: Ints) -> None:
        """Record the first user mapping since a page was unmapped."""
        unmapped, first = self._winners[_UNMAPPED], self._winners[_MAPPED]
        slot, order = slot[mapped], order[mapped]
        new = (order > unmapped[slot]) & (first[slot] <= unmapped[slot])
        # Reversed: of several assignments to one slot, numpy keeps the last.
        first[slot[new][::-1]] = order[new][::-1]

    def _append(self, rows: pl.DataFrame, page: Ints, slot: Ints) -> None:
        candidates = rows.with_columns(
            pl.col("comm").cast(pl.String),
            arena=pl.Series(self._page_set.arenas[page]),
            page=pl.Series(self._page_set.pages[page]),
            slot=pl.Series(slot),
        ).select(*_SCHEMA)
        self._candidates.append(candidates)
        self._candidate_count += len(candidates)

    def _drop_superseded(self) -> None:
        if self._candidates:
            rows = pl.concat(self._candidates)
            slot, effect, order = (rows[name].to_numpy() for name in ("slot", "effect", "order"))
            self._candidates = [rows[self._winning(slot, effect, order)]]
            self._candidate_count = len(self._candidates[0])

    def _winning(self, slot: Ints, effect: Ints, order: Ints) -> Ints:
        """Return the numbers of the operations that no other one supersedes."""
        flat = effect * np.int64(len(self._slots)) + slot
        return np.flatnonzero(self._winners.ravel()[flat] == order)

    def _drained(
        self, rows: pl.DataFrame, row: Ints, page: Ints, drains: pl.DataFrame
    ) -> tuple[Ints, Ints]:
        """Return (row number of a drain, page) for each deferred free that a drain performed.

        Other deferred frees stay queued for the next batch.
        """
        waiting = np.flatnonzero(self._is_queued)
        order = rows["order"].to_numpy()[row] if len(row) else row
        page = np.concatenate([waiting, page])
        since = np.concatenate([np.full(len(waiting), -1), order])
        found = pl.DataFrame({"arena": self._page_set.arenas[page], "order": since, "page": page})
        done = found.sort("order").join_asof(
            drains.with_row_index("drain").select("arena", "order", "drain"),
            on="order",
            by="arena",
            strategy="forward",
            check_sortedness=False,
        )
        self._is_queued[:] = False
        self._is_queued[done.filter(pl.col("drain").is_null())["page"].to_numpy()] = True
        done = done.drop_nulls("drain")
        return done["drain"].to_numpy().astype(np.int64), done["page"].to_numpy()


_SCHEMA = {
    **_OPERATION,
    "arena": pl.UInt32,
    "page": pl.UInt32,
    "order": pl.Int64,
    "slot": pl.Int64,
    "effect": pl.UInt8,
}


def _operation_rows(rows: pl.DataFrame, op: pl.Expr) -> pl.DataFrame:
    """Return the columns ``_OPERATION`` of ``rows``, missing ones as null, and order and effect."""
    op = op.cast(pl.UInt8)
    effects = {int(code): effect for code, effect in _EFFECTS.items()}
    return rows.select(
        *(
            op.alias(name)
            if name == "op"
            else pl.col(name)
            if name in rows.columns
            else pl.lit(None, dtype).alias(name)
            for name, dtype in _OPERATION.items()
        ),
        pl.col("order"),
        effect=op.replace_strict(effects, default=_NO_EFFECT, return_dtype=pl.UInt8),
    )
