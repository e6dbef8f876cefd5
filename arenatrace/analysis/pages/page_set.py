"""Set of (arena, page) pairs with a bitmap prefilter."""

from __future__ import annotations

import numpy as np
import polars as pl

from arenatrace.analysis.pages.arrays import Ints

#: An arena has at most 2^20 pages, and a page number is stored in 32 bits.
_ARENA_SHIFT = 32
_PAGE_MASK = (1 << _ARENA_SHIFT) - 1

#: Entries of the bitmap. If all pages of all arenas together need no more, each page has an entry
#: of its own; otherwise pages are hashed to entries with a multiplicative stride.
_MAX_ENTRIES = 1 << 22
_STRIDE = 0x9E37_79B1


class PageSet:
    """Distinct pairs of ``arena`` and ``page`` of a frame, without nulls.

    Each pair has an index, from 0 in (arena, page) order. Rows that cover a pair are found in two
    steps: ``prefilter`` rejects most rows with one bitmap lookup each, and ``explode`` is exact.
    """

    def __init__(self, pages: pl.DataFrame) -> None:
        keys = pages.select(pl.col("arena", "page").cast(pl.UInt32)).drop_nulls().unique()
        self._keys = np.sort(_key(keys["arena"], keys["page"]))
        #: Arena and page of each index.
        self.arenas = (self._keys >> np.uint64(_ARENA_SHIFT)).astype(np.uint32)
        self.pages = (self._keys & np.uint64(_PAGE_MASK)).astype(np.uint32)
        self._fill_bitmap()

    def _fill_bitmap(self) -> None:
        ends = [int(of.max(initial=0)) + 1 for of in (self.arenas, self.pages)]
        is_direct = ends[0] * ends[1] <= _MAX_ENTRIES
        size = ends[0] * ends[1] if is_direct else _MAX_ENTRIES
        self._ends = ends if is_direct else [1 << _ARENA_SHIFT] * 2
        self._stride = ends[1] if is_direct else _STRIDE
        self._size = size
        # Two more entries: one for rows that cannot cover a page, one for rows that may.
        self._bitmap = np.zeros(size + 2, np.bool_)
        self._bitmap[size + 1] = True
        entries = self.arenas.astype(np.uint64) * np.uint64(self._stride) + self.pages
        entries %= np.uint64(size)
        self._bitmap[entries] = True
        #: Index of the pair at each entry, if entries are not shared.
        self._index = np.full(size if is_direct else 0, -1, np.int32)
        if is_direct:
            self._index[entries] = np.arange(len(self))

    def __len__(self) -> int:
        return len(self._keys)

    def prefilter(self, *, always: pl.Expr) -> pl.Expr:
        """Return whether a row with ``arena``, ``pgoff`` and ``pages`` may cover a page of the set.

        Rows of several pages and rows for which ``always`` is true always may.
        """
        entry = pl.col("arena").cast(pl.UInt64) * self._stride + pl.col("pgoff")
        inside = (pl.col("arena") < self._ends[0]) & (pl.col("pgoff") < self._ends[1])
        return (
            pl.when((pl.col("pages") > 1) | always)
            .then(self._size + 1)
            .when(inside)
            .then(entry % self._size)
            .otherwise(self._size)
            .cast(pl.UInt32)
            .map_batches(self._look_up, return_dtype=pl.Boolean, is_elementwise=True)
        )

    def _look_up(self, entries: pl.Series) -> pl.Series:
        return pl.Series(self._bitmap[entries.to_numpy()], dtype=pl.Boolean)

    def index(self, pages: pl.DataFrame) -> Ints:
        """Return the index of each ``arena`` and ``page``; all of them must be in the set."""
        found = np.searchsorted(self._keys, _key(pages["arena"], pages["page"]))
        return np.asarray(found)

    def explode(self, rows: pl.DataFrame) -> tuple[Ints, Ints]:
        """Return (row number, index of page) for each row and page of the set that it covers.

        ``rows`` have ``arena``, ``pgoff`` and ``pages`` (1 or more). Row numbers ascend.
        """
        several = rows["pages"].to_numpy() > 1
        first, after = self._single(rows)
        if several.any():
            start = _key(rows["arena"], rows["pgoff"])[several]
            room = np.uint64(_PAGE_MASK) - (start & np.uint64(_PAGE_MASK))
            # Stay in the arena, even if a damaged row claims more pages.
            beyond = np.minimum(rows["pages"].to_numpy()[several].astype(np.uint64) - 1, room)
            first[several] = np.searchsorted(self._keys, start)
            after[several] = np.searchsorted(self._keys, start + beyond, side="right")
        hit = np.flatnonzero(after > first)
        count = (after - first)[hit]
        row = np.repeat(hit, count)
        ends = np.cumsum(count)
        return row, np.arange(len(row)) + np.repeat(first[hit] - (ends - count), count)

    def _single(self, rows: pl.DataFrame) -> tuple[Ints, Ints]:
        """Return the half-open index range of the page at ``pgoff``; empty if not in the set."""
        if len(self._index):
            arena, page = (rows[name].to_numpy() for name in ("arena", "pgoff"))
            inside = (arena < self._ends[0]) & (page < self._ends[1])
            entry = np.where(inside, arena.astype(np.int64) * self._stride + page, 0)
            found = self._index[entry].astype(np.int64)
            return found, found + (inside & (found >= 0))
        start = _key(rows["arena"], rows["pgoff"])
        first = np.searchsorted(self._keys, start)
        hit = np.append(self._keys, 0)[first] == start
        return first, first + (hit & (first < len(self)))


def _key(arena: pl.Series, page: pl.Series) -> Ints:
    """Return arena and page as one integer."""
    high = arena.to_numpy().astype(np.uint64) << np.uint64(_ARENA_SHIFT)
    return np.asarray(high | page.to_numpy().astype(np.uint64), dtype=np.uint64)
