"""The last things that happened to pages before given moments, found in one pass."""

from __future__ import annotations

import numpy as np
import polars as pl

from arenatrace.analysis.pages.arrays import Ints
from arenatrace.analysis.pages.operations import Op
from arenatrace.analysis.pages.page_set import Places
from arenatrace.analysis.pages.position_rank import Moments

#: What is kept of an operation.
_FACTS = {
    "ts_ns": pl.Int64,
    "seq": pl.UInt64,
    "op": pl.UInt8,
    "pgoff": pl.UInt32,
    "pages": pl.UInt32,
    "pid": pl.UInt32,
    "tid": pl.UInt32,
    "comm": pl.String,
}

#: Rows held back before those that have been overtaken are dropped.
_HELD = 1 << 19

#: What an operation does to a page.
_GONE, _ALLOCATED, _MAPPED, _NOTHING = range(4)
_DOES = {Op.FREE: _GONE, Op.RESERVE: _GONE, Op.ALLOC: _ALLOCATED, Op.USER_MAP: _MAPPED}


class NearStates:
    """Of each page in ``targets``, what decides its state at the moments that are asked for.

    ``targets`` has ``ts_ns``, ``seq``, ``arena`` and ``near``, a page in ``places``. Between two
    moments of a page three operations at most can matter: the last that took it away, the last
    that allocated it, and the first by which user space mapped it after it was taken away.
    Memory grows with the moments, not with the operations, which come in the order of time.
    """

    def __init__(self, targets: pl.DataFrame, places: Places) -> None:
        self._places = places
        self._moments = Moments(targets)
        self._width = len(self._moments) + 1
        page = places.index(targets.select("arena", page="near"))
        #: A slot for each page and moment, in this order.
        slots = pl.Series(page * self._width + self._moments.before(targets))
        self._slots = slots.unique().sort().to_numpy()
        self._page_of = self._slots // self._width
        every = np.arange(len(places) + 1)
        self._first_slot = np.searchsorted(self._page_of, every)
        # By what an operation does and slot: the order of the one that counts, -1 for none.
        self._counts = np.full((_NOTHING, len(self._slots)), -1, np.int64)
        self._held: list[pl.DataFrame] = []
        self._rows = 0
        self._queued = np.zeros(len(places), np.bool_)

    def add(self, rows: pl.DataFrame, row: Ints, page: Ints, drains: pl.DataFrame) -> None:
        """Take operations: of ``rows``, the number of each ``row`` and the ``page`` it covered.

        ``rows`` and ``drains`` are events with ``order``, their place among all that are added.
        """
        codes = rows["op"].to_numpy()[row]
        queued = codes == int(Op.QUEUE)
        if queued.any() or len(drains):
            drain, freed = self._drained(rows, row[queued], page[queued], drains)
            self._take(_facts(drains, op=pl.lit(int(Op.FREE))), drain, freed)
        decides = np.isin(codes, [int(op) for op in _DOES])
        self._take(_facts(rows, op=pl.col("op")), row[decides], page[decides])
        if self._rows > _HELD:
            self._drop_overtaken()

    def operations(self) -> pl.DataFrame:
        """What was kept, in the order of time, as ``near_allocations`` wants it."""
        self._drop_overtaken()
        kept = pl.concat([pl.DataFrame(schema=_SCHEMA), *self._held])
        return kept.sort("order").drop("order", "slot", "does")

    def _take(self, rows: pl.DataFrame, row: Ints, page: Ints) -> None:
        slot = self._slot(page, self._moments.before(rows)[row])
        asked = slot < self._first_slot[page + 1]
        row, page, slot = row[asked], page[asked], slot[asked]
        order, does = (rows[name].to_numpy()[row] for name in ("order", "does"))
        for what in (_GONE, _ALLOCATED):
            done = does == what
            np.maximum.at(self._counts[what], slot[done], order[done])
        self._map(slot, order, does == _MAPPED)
        kept = self._counting(slot, does, order)
        self._hold(rows[row[kept]], page[kept], slot[kept])

    def _slot(self, page: Ints, rank: Ints) -> Ints:
        """The slot of the first moment of ``page`` from ``rank`` on, or the one past its last."""
        wanted = page * self._width + rank
        slot = self._first_slot[page]
        # Most pages have one slot or none: only what is left needs a search.
        early = np.flatnonzero(slot < self._first_slot[page + 1])
        early = early[self._slots[slot[early]] < wanted[early]]
        slot[early] = np.searchsorted(self._slots, wanted[early])
        return slot

    def _map(self, slot: Ints, order: Ints, mapped: Ints) -> None:
        """Of what user space mapped since a page was taken away, the first counts."""
        gone, first = self._counts[_GONE], self._counts[_MAPPED]
        slot, order = slot[mapped], order[mapped]
        new = (order > gone[slot]) & (first[slot] <= gone[slot])
        # Of several for one slot numpy keeps the last that is assigned.
        first[slot[new][::-1]] = order[new][::-1]

    def _hold(self, rows: pl.DataFrame, page: Ints, slot: Ints) -> None:
        held = rows.with_columns(
            pl.col("comm").cast(pl.String),
            arena=pl.Series(self._places.arenas[page]),
            page=pl.Series(self._places.pages[page]),
            slot=pl.Series(slot),
        ).select(*_SCHEMA)
        self._held.append(held)
        self._rows += len(held)

    def _drop_overtaken(self) -> None:
        if self._held:
            rows = pl.concat(self._held)
            slot, does, order = (rows[name].to_numpy() for name in ("slot", "does", "order"))
            self._held = [rows[self._counting(slot, does, order)]]
            self._rows = len(self._held[0])

    def _counting(self, slot: Ints, does: Ints, order: Ints) -> Ints:
        """Which operations have not been overtaken by a later one."""
        place = does * np.int64(len(self._slots)) + slot
        return np.flatnonzero(self._counts.ravel()[place] == order)

    def _drained(
        self, rows: pl.DataFrame, row: Ints, page: Ints, drains: pl.DataFrame
    ) -> tuple[Ints, Ints]:
        """Which drain did which deferred free; those that none has done yet wait for the next."""
        waiting = np.flatnonzero(self._queued)
        order = rows["order"].to_numpy()[row] if len(row) else row
        page = np.concatenate([waiting, page])
        since = np.concatenate([np.full(len(waiting), -1), order])
        found = pl.DataFrame({"arena": self._places.arenas[page], "order": since, "page": page})
        done = found.sort("order").join_asof(
            drains.with_row_index("drain").select("arena", "order", "drain"),
            on="order",
            by="arena",
            strategy="forward",
            check_sortedness=False,
        )
        self._queued[:] = False
        self._queued[done.filter(pl.col("drain").is_null())["page"].to_numpy()] = True
        done = done.drop_nulls("drain")
        return done["drain"].to_numpy().astype(np.int64), done["page"].to_numpy()


_SCHEMA = {
    **_FACTS,
    "arena": pl.UInt32,
    "page": pl.UInt32,
    "order": pl.Int64,
    "slot": pl.Int64,
    "does": pl.UInt8,
}


def _facts(rows: pl.DataFrame, op: pl.Expr) -> pl.DataFrame:
    """The facts of ``rows``, null where they have none, and ``order`` and ``does``."""
    op = op.cast(pl.UInt8)
    does = {int(code): does for code, does in _DOES.items()}
    return rows.select(
        *(
            op.alias(name)
            if name == "op"
            else pl.col(name)
            if name in rows.columns
            else pl.lit(None, dtype).alias(name)
            for name, dtype in _FACTS.items()
        ),
        pl.col("order"),
        does=op.replace_strict(does, default=_NOTHING, return_dtype=pl.UInt8),
    )
