"""The free set of an arena, with the kernel's best fit (kernel/bpf/range_tree.c).

The kernel keeps free ranges in a tree ordered by descending size; a new range goes behind the
ranges of its own size. An allocation takes the last range that is large enough: the smallest
one that fits and, among ranges of equal size, the one inserted last. The order of insertions
is therefore part of the behaviour. A range that is trimmed or merged is removed and inserted
again. A range that is split has its left part inserted before its right part.

This implementation has one byte per page (free or not), the ranges of each size in order of
insertion, and one byte per size (any range or none). One byte search finds the smallest size
that fits. Large sizes are in a sorted list, which keeps that search short.
"""

from __future__ import annotations

from bisect import bisect_left, insort

#: Result of ``find`` if no range fits.
NO_ROOM = -1

#: Bytes of ``taken``.
FREE, TAKEN, UNSURE = 0, 1, 2

#: Smallest size, in pages, that is kept in the sorted list.
LARGE = 4096

_LEAST = 64


class RangeTree:
    """Set of free pages below ``limit``. Starts are page numbers, counts are above 0.

    A new set is empty. Pages may become unknown (``mark_unknown``); the order of the ranges is
    then unknown too, and ``find`` has no meaning until all pages are free again (``set_all``).
    """

    __slots__ = ("buckets", "large", "limit", "ordered", "size_at", "small", "tail", "taken")

    def __init__(self, limit: int = 1 << 20) -> None:
        self.limit = limit
        #: The order of insertion is known.
        self.ordered = True
        #: FREE, TAKEN or UNSURE for each page up to the highest page used so far.
        self.taken = bytearray()
        #: FREE, TAKEN or UNSURE for all pages above.
        self.tail = TAKEN
        #: first page of each range -> pages in it
        self.size_at: dict[int, int] = {}
        #: size -> first pages of the ranges of that size, in order of insertion. The values are
        #: unused, and no bucket is empty.
        self.buckets: dict[int, dict[int, None]] = {}
        #: 1 for each size below LARGE that has a range
        self.small = bytearray(LARGE)
        #: sizes from LARGE on that have a range, ascending
        self.large: list[int] = []

    def __len__(self) -> int:
        """Return the number of ranges, 0 if it is unknown."""
        return len(self.size_at)

    def copy(self) -> RangeTree:
        """Return an independent copy."""
        other = type(self)(self.limit)
        other.ordered, other.tail = self.ordered, self.tail
        other.taken = self.taken.copy()
        other.size_at = self.size_at.copy()
        other.buckets = {size: bucket.copy() for size, bucket in self.buckets.items()}
        other.small, other.large = self.small.copy(), self.large.copy()
        return other

    def ranges(self) -> list[tuple[int, int]]:
        """Return (first page, pages) of every range by address."""
        return sorted(self.size_at.items())

    def by_size(self) -> list[tuple[int, int]]:
        """Return (first page, pages) of every range in the order of the kernel's size tree."""
        return [
            (start, size)
            for size in sorted(self.buckets, reverse=True)
            for start in self.buckets[size]
        ]

    # ---- all pages ----

    def set_all(self) -> None:
        """Make all pages free, like range_tree_set() of the whole user range."""
        self.taken[:] = bytes(len(self.taken))
        self.tail = FREE
        self.lose_order()
        self.ordered = True
        self.insert(0, self.limit)

    def forget(self) -> None:
        """Make the state of every page unknown."""
        self.taken.clear()
        self.tail = UNSURE
        self.lose_order()

    def lose_order(self) -> None:
        """Make the order of the ranges unknown. The free pages stay known."""
        self.ordered = False
        self.size_at.clear()
        self.buckets.clear()
        self.small[:] = bytes(LARGE)
        self.large.clear()

    def mark_unknown(self, start: int, count: int) -> None:
        """Make the state of these pages unknown."""
        self.reach(start + count)
        self.taken[start : start + count] = b"\2" * count
        self.lose_order()

    def reach(self, end: int) -> None:
        """Extend ``taken`` to at least ``end`` pages, growing ahead up to ``limit``."""
        have = len(self.taken)
        if end > have:
            more = max(end, min(max(2 * have, _LEAST), self.limit)) - have
            self.taken += bytes([self.tail]) * more

    # ---- the kernel's operations ----

    def find(self, count: int) -> int:
        """Return the first page of the best fit for ``count`` pages (range_tree_find())."""
        size = self.smallest(count)
        return next(reversed(self.buckets[size])) if size else NO_ROOM

    def smallest(self, count: int) -> int:
        """Return the smallest size of a range with at least ``count`` pages, 0 without any."""
        size = self.small.find(1, count)
        if size >= 0:
            return size
        at = bisect_left(self.large, count)
        return self.large[at] if at < len(self.large) else 0

    def clear(self, start: int, count: int) -> None:
        """Remove the pages from the set; some may not be in it (range_tree_clear())."""
        end = start + count
        self.reach(end)
        taken = self.taken
        if self.ordered:
            page = taken.find(FREE, start, end)
            while page >= 0:
                # Only the first range can begin before the pages, and only the last one can end
                # after them.
                first = taken.rfind(TAKEN, 0, page) + 1
                last_end = first + self.remove(first)
                if first < start:
                    self.insert(first, start - first)
                if last_end > end:
                    self.insert(end, last_end - end)
                    break
                page = taken.find(FREE, last_end, end)
        taken[start:end] = bytearray(b"\1") * count

    def set(self, start: int, count: int) -> None:
        """Add the pages to the set; some may already be in it (range_tree_set()).

        The kernel clears the pages first and then merges with both neighbours: one new range
        replaces every range that overlapped the pages or was adjacent to them.
        """
        end = start + count
        self.reach(end)
        taken = self.taken
        before = taken[start:end]
        if not self.ordered:
            taken[start:end] = bytearray(count)
            return
        if TAKEN not in before:
            return
        taken[start:end] = bytearray(count)
        first, page = start, before.find(FREE)
        if start and taken[start - 1] == FREE:
            first = taken.rfind(TAKEN, 0, start) + 1
            page = before.find(FREE, first + self.remove(first) - start)
        while page >= 0:
            past = page + self.remove(start + page)
            end = max(end, start + past)
            page = before.find(FREE, past)
        if end in self.size_at:
            end += self.remove(end)
        self.insert(first, end - first)

    # ---- shortcuts for pages in a known state ----

    def take(self, start: int, count: int) -> bool:
        """``clear`` the pages if ``find`` returns ``start``. If not, return False."""
        if start < 0 or self.find(count) != start:
            return False
        self.clear(start, count)
        return True

    def give(self, start: int, count: int) -> None:
        """``set`` pages, none of which is in the set."""
        end = start + count
        self.reach(end)
        taken = self.taken
        taken[start:end] = bytearray(count)
        if not self.ordered:
            return
        if start and taken[start - 1] == FREE:
            start = taken.rfind(TAKEN, 0, start) + 1
            self.remove(start)
        if end in self.size_at:
            end += self.remove(end)
        self.insert(start, end - start)

    # ---- ranges ----

    def insert(self, start: int, size: int) -> None:
        """Insert a range into the trees (range_it_insert())."""
        self.size_at[start] = size
        if size in self.buckets:
            self.buckets[size][start] = None
            return
        self.buckets[size] = {start: None}
        if size < LARGE:
            self.small[size] = 1
        else:
            insort(self.large, size)

    def remove(self, start: int) -> int:
        """Remove the range that begins at ``start`` (range_it_remove()) and return its size."""
        size = self.size_at.pop(start)
        bucket = self.buckets[size]
        if len(bucket) > 1:
            del bucket[start]
            return size
        del self.buckets[size]
        if size < LARGE:
            self.small[size] = 0
        else:
            self.large.remove(size)
        return size


class LowestFit(RangeTree):
    """Free set of kernels before 6.13: a maple tree that gives out the lowest gap.

    Follows mtree_alloc_range() as those kernels use it in kernel/bpf/arena.c.
    """

    __slots__ = ()

    def find(self, count: int) -> int:
        """Return the first page of the lowest range that fits."""
        found = self.taken.find(bytes(count))
        if found < 0 and self.tail == FREE:
            found = self.taken.rfind(TAKEN) + 1
        return found if found + count <= self.limit else NO_ROOM
