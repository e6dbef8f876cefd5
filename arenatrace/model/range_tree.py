"""The free set of an arena, with the kernel's best fit (kernel/bpf/range_tree.c).

The kernel keeps free ranges in a tree ordered by descending size, where a range goes behind
those of its own size, and takes the last one that is large enough. So the winner is the
smallest range that fits and, among equals, the one inserted last. What counts as an insertion
is therefore part of the behaviour: a range that is trimmed or merged is taken out and
inserted again, and a range cut in two has its left part inserted before its right part.

Here the ranges of one size are the keys of one dict, whose order is the order of insertion,
and the sizes in use are a sorted list.
"""

from __future__ import annotations

from bisect import bisect_left, insort

from arenatrace.model.page_index import PageIndex

#: What ``find`` returns if nothing fits.
NO_ROOM = -1


class RangeTree:
    """A set of pages as maximal ranges. Pages are numbers below 2**20, counts are above 0."""

    __slots__ = ("_buckets", "_index", "_size_at", "_sizes", "_start_of_last", "_unasked")

    def __init__(self) -> None:
        #: first page of each range -> pages in it
        self._size_at: dict[int, int] = {}
        #: last page of each range -> its first page
        self._start_of_last: dict[int, int] = {}
        #: size -> first pages of the ranges of that size, in order of insertion
        self._buckets: dict[int, dict[int, None]] = {}
        self._sizes: list[int] = []
        # Finding the range around a page needs the ranges by address. Best fit and the
        # return of whole ranges do not, so the index is made when it is first asked for and
        # dropped when it has been kept up to date for long without being asked.
        self._index: PageIndex | None = None
        self._unasked = 0

    def __len__(self) -> int:
        """How many ranges there are."""
        return len(self._size_at)

    def ranges(self) -> list[tuple[int, int]]:
        """(first page, pages) of every range by address."""
        return sorted(self._size_at.items())

    def by_size(self) -> list[tuple[int, int]]:
        """(first page, pages) of every range in the order of the kernel's size tree."""
        return [(start, size) for size in reversed(self._sizes) for start in self._buckets[size]]

    def copy(self) -> RangeTree:
        """An independent copy."""
        other = type(self)()
        other._size_at = self._size_at.copy()  # noqa: SLF001 -- its own kind
        other._start_of_last = self._start_of_last.copy()  # noqa: SLF001 -- its own kind
        other._buckets = {size: bucket.copy() for size, bucket in self._buckets.items()}  # noqa: SLF001 -- its own kind
        other._sizes = self._sizes.copy()  # noqa: SLF001 -- its own kind
        return other

    # ---- the kernel's operations ----

    def find(self, count: int) -> int:
        """First page of the range that ``count`` pages are taken from (range_tree_find())."""
        at = bisect_left(self._sizes, count)
        if at == len(self._sizes):
            return NO_ROOM
        return next(reversed(self._buckets[self._sizes[at]]))

    def is_set(self, start: int, count: int) -> bool:
        """Whether all of the pages are in the set (is_range_tree_set())."""
        first = self._around(start)
        return first >= 0 and first + self._size_at[first] >= start + count

    def clear(self, start: int, count: int) -> None:
        """Take the pages out of the set, whether they are in it or not (range_tree_clear())."""
        end = start + count
        while (first := self._first(start, end)) >= 0:
            last_end = first + self._size_at[first]
            self._remove(first)
            if first < start:
                self._insert(first, start - first)
            if last_end > end:
                self._insert(end, last_end - end)
                return

    def set(self, start: int, count: int) -> None:
        """Put the pages into the set, whether they are in it or not (range_tree_set())."""
        if self.is_set(start, count):
            return
        self.clear(start, count)
        self.give(start, count)

    # ---- the same where more is known beforehand: what most events come down to ----

    def take(self, start: int, count: int) -> bool:
        """``clear`` of the pages if ``find`` gives ``start``; otherwise nothing, and False."""
        sizes = self._sizes
        at = bisect_left(sizes, count)
        if at == len(sizes):
            return False
        size = sizes[at]
        bucket = self._buckets[size]
        found = bucket.popitem()[0]
        if found != start:
            bucket[found] = None
            return False
        if not bucket:
            del self._buckets[size]
            del sizes[at]
        del self._size_at[start]
        if self._index is not None:
            self._index.discard(start)
            self._tire()
        if size == count:
            del self._start_of_last[start + size - 1]
        else:
            # the range's last page is known already, under the first page it now has
            self._insert(start + count, size - count)
        return True

    def give(self, start: int, count: int) -> None:
        """``set`` for pages of which none is in the set."""
        end = start + count
        left = self._start_of_last.get(start - 1)
        right_size = self._size_at.get(end)
        if left is not None:
            self._remove(left)
            start = left
        if right_size is not None:
            self._remove(end)
            end += right_size
        self._insert(start, end - start)
        if self._index is not None:
            self._tire()

    # ---- ranges ----

    def _insert(self, start: int, size: int) -> None:
        self._size_at[start] = size
        self._start_of_last[start + size - 1] = start
        bucket = self._buckets.get(size)
        if bucket is None:
            self._buckets[size] = {start: None}
            insort(self._sizes, size)
        else:
            bucket[start] = None
        if self._index is not None:
            self._index.add(start)

    def _remove(self, start: int) -> None:
        size = self._size_at.pop(start)
        del self._start_of_last[start + size - 1]
        bucket = self._buckets[size]
        if len(bucket) == 1:
            del self._buckets[size]
            del self._sizes[bisect_left(self._sizes, size)]
        elif next(reversed(bucket)) == start:
            # unlike del, popitem leaves no hole that later looks at the end must step over
            bucket.popitem()
        else:
            del bucket[start]
        if self._index is not None:
            self._index.discard(start)

    # ---- by address ----

    def _around(self, page: int) -> int:
        """First page of the range that holds ``page``, -1 if none does."""
        first = (self._index or self._make_index()).floor(page)
        self._unasked = 0
        if first >= 0 and first + self._size_at[first] > page:
            return first
        return -1

    def _first(self, start: int, end: int) -> int:
        """First page of the first range that holds any page from ``start`` up to ``end``."""
        first = self._around(start)
        if first < 0:
            first = (self._index or self._make_index()).ceiling(start)
        return first if first < end else -1

    def _make_index(self) -> PageIndex:
        self._index = PageIndex(self._size_at)
        return self._index

    def _tire(self) -> None:
        self._unasked += 1
        if self._unasked > 256 + len(self._size_at):
            self._index = None
            self._unasked = 0


class LowestFit(RangeTree):
    """The free set of kernels before 6.13: a maple tree, of which the lowest gap is taken.

    Follows mtree_alloc_range() as kernel/bpf/arena.c used it then.
    """

    __slots__ = ()

    def find(self, count: int) -> int:
        """First page of the lowest range that fits."""
        index = self._index or self._make_index()
        self._unasked = 0
        start = index.ceiling(0)
        while start >= 0 and self._size_at[start] < count:
            start = index.ceiling(start + self._size_at[start])
        return start

    def take(self, start: int, count: int) -> bool:
        """``clear`` of the pages if ``find`` gives ``start``; otherwise nothing, and False."""
        if self.find(count) != start:
            return False
        self.clear(start, count)
        return True
