"""A set of pages of arenas that is asked millions of times whether a row covers any of them."""

from __future__ import annotations

import numpy as np
import polars as pl

from arenatrace.analysis.pages.arrays import Ints

#: An arena has at most 2^20 pages, and a page number is stored in 32 bits.
_ARENA_SHIFT = 32
_PAGE_MASK = (1 << _ARENA_SHIFT) - 1

#: Where the pages of all arenas together are at most this many, each has a place of its own in
#: the table of the sieve; else they share so many places, which are then spread by a stride.
_MOST_PLACES = 1 << 22
_STRIDE = 0x9E37_79B1


class Places:
    """The distinct pairs of ``arena`` and ``page`` of a frame, without nulls.

    A pair has an index, from 0 in the order of (arena, page). Rows that might cover one are
    found in two steps: ``sieve``, an expression, rules out most rows at the cost of one look into
    a small table, and ``spread`` is exact.
    """

    def __init__(self, pages: pl.DataFrame) -> None:
        keys = pages.select(pl.col("arena", "page").cast(pl.UInt32)).drop_nulls().unique()
        self._numbers = np.sort(_number(keys["arena"], keys["page"]))
        #: Arena and page of each index.
        self.arenas = (self._numbers >> np.uint64(_ARENA_SHIFT)).astype(np.uint32)
        self.pages = (self._numbers & np.uint64(_PAGE_MASK)).astype(np.uint32)
        self._fill_table()

    def _fill_table(self) -> None:
        ends = [int(of.max(initial=0)) + 1 for of in (self.arenas, self.pages)]
        own = ends[0] * ends[1] <= _MOST_PLACES
        size = ends[0] * ends[1] if own else _MOST_PLACES
        self._ends = ends if own else [1 << _ARENA_SHIFT] * 2
        self._stride = ends[1] if own else _STRIDE
        self._size = size
        # One place more for rows that cannot cover a page, and one for those that may.
        self._table = np.zeros(size + 2, np.bool_)
        self._table[size + 1] = True
        places = self.arenas.astype(np.uint64) * np.uint64(self._stride) + self.pages
        places %= np.uint64(size)
        self._table[places] = True
        #: The index of the page at each place, if it is the only one.
        self._index = np.full(size if own else 0, -1, np.int32)
        if own:
            self._index[places] = np.arange(len(self))

    def __len__(self) -> int:
        return len(self._numbers)

    def sieve(self, *, always: pl.Expr) -> pl.Expr:
        """Whether a row with ``arena``, ``pgoff`` and ``pages`` may cover a page of the set.

        Rows of several pages may, and those for which ``always`` is true.
        """
        place = pl.col("arena").cast(pl.UInt64) * self._stride + pl.col("pgoff")
        inside = (pl.col("arena") < self._ends[0]) & (pl.col("pgoff") < self._ends[1])
        return (
            pl.when((pl.col("pages") > 1) | always)
            .then(self._size + 1)
            .when(inside)
            .then(place % self._size)
            .otherwise(self._size)
            .cast(pl.UInt32)
            .map_batches(self._look_up, return_dtype=pl.Boolean, is_elementwise=True)
        )

    def _look_up(self, places: pl.Series) -> pl.Series:
        return pl.Series(self._table[places.to_numpy()], dtype=pl.Boolean)

    def index(self, pages: pl.DataFrame) -> Ints:
        """The index of each ``arena`` and ``page``, which must be in the set."""
        found = np.searchsorted(self._numbers, _number(pages["arena"], pages["page"]))
        return np.asarray(found)

    def spread(self, rows: pl.DataFrame) -> tuple[Ints, Ints]:
        """Rows of ``arena``, ``pgoff`` and ``pages`` (1 or more), once for each page they cover.

        The numbers of the rows, ascending, and the index of the page.
        """
        several = rows["pages"].to_numpy() > 1
        first, after = self._single(rows)
        if several.any():
            start = _number(rows["arena"], rows["pgoff"])[several]
            room = np.uint64(_PAGE_MASK) - (start & np.uint64(_PAGE_MASK))
            # Never into the next arena, whatever number of pages a damaged row claims.
            beyond = np.minimum(rows["pages"].to_numpy()[several].astype(np.uint64) - 1, room)
            first[several] = np.searchsorted(self._numbers, start)
            after[several] = np.searchsorted(self._numbers, start + beyond, side="right")
        hit = np.flatnonzero(after > first)
        count = (after - first)[hit]
        row = np.repeat(hit, count)
        ends = np.cumsum(count)
        return row, np.arange(len(row)) + np.repeat(first[hit] - (ends - count), count)

    def _single(self, rows: pl.DataFrame) -> tuple[Ints, Ints]:
        """The index of the page at ``pgoff`` and the one after; twice the same without one."""
        if len(self._index):
            arena, page = (rows[name].to_numpy() for name in ("arena", "pgoff"))
            inside = (arena < self._ends[0]) & (page < self._ends[1])
            place = np.where(inside, arena.astype(np.int64) * self._stride + page, 0)
            found = self._index[place].astype(np.int64)
            return found, found + (inside & (found >= 0))
        start = _number(rows["arena"], rows["pgoff"])
        first = np.searchsorted(self._numbers, start)
        hit = np.append(self._numbers, 0)[first] == start
        return first, first + (hit & (first < len(self)))


def _number(arena: pl.Series, page: pl.Series) -> Ints:
    """Arena and page as one number."""
    high = arena.to_numpy().astype(np.uint64) << np.uint64(_ARENA_SHIFT)
    return np.asarray(high | page.to_numpy().astype(np.uint64), dtype=np.uint64)
