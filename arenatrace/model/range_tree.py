"""The free set of an arena, with the kernel's best fit (kernel/bpf/range_tree.c).

The kernel keeps free ranges in a tree ordered by descending size, where a range goes behind
those of its own size, and takes the last one that is large enough. So the winner is the
smallest range that fits and, among equals, the one inserted last. What counts as an insertion
is therefore part of the behaviour: a range that is trimmed or merged is taken out and
inserted again, and a range cut in two has its left part inserted before its right part.

Here a byte for each page says whether it is free, and the ranges of one size are a stack, the
last inserted on top. A range that was trimmed or merged stays in its stack as a dead entry
until it is met: ``size_at`` tells the living from the dead.
"""

from __future__ import annotations

from bisect import bisect_left, insort

#: What ``find`` returns if nothing fits.
NO_ROOM = -1

#: Bytes of ``taken``.
FREE, TAKEN, UNSURE = 0, 1, 2

_LEAST = 64
_MOST_DEAD = 1024


class RangeTree:
    """A set of pages below ``limit``. Starts and counts are pages; counts are above 0.

    A new one is empty. What is in the set may be in doubt (``doubt``); then the order of the
    ranges is unknown and ``find`` has no meaning until all of it is free again (``restart``).
    """

    __slots__ = ("buckets", "limit", "ordered", "pushed", "size_at", "sizes", "tail", "taken")

    def __init__(self, limit: int = 1 << 20) -> None:
        self.limit = limit
        #: The order of insertion is known.
        self.ordered = True
        #: FREE, TAKEN or UNSURE for each page up to the highest ever looked at.
        self.taken = bytearray()
        #: The same for all the pages above.
        self.tail = TAKEN
        #: first page of each range -> pages in it
        self.size_at: dict[int, int] = {}
        #: size -> first pages of the ranges of that size, dead ones included
        self.buckets: dict[int, list[int]] = {}
        #: sizes whose bucket is not empty, ascending
        self.sizes: list[int] = []
        #: entries pushed since dead ones were last swept
        self.pushed = 0

    def __len__(self) -> int:
        """How many ranges there are, 0 if that is unknown."""
        return len(self.size_at)

    def copy(self) -> RangeTree:
        """An independent copy."""
        other = type(self)(self.limit)
        other.ordered, other.tail, other.pushed = self.ordered, self.tail, self.pushed
        other.taken = self.taken.copy()
        other.size_at = self.size_at.copy()
        other.buckets = {size: self.buckets[size].copy() for size in self.sizes}
        other.sizes = self.sizes.copy()
        return other

    def ranges(self) -> list[tuple[int, int]]:
        """(first page, pages) of every range by address."""
        return sorted(self.size_at.items())

    def by_size(self) -> list[tuple[int, int]]:
        """(first page, pages) of every range in the order of the kernel's size tree."""
        self.sweep()
        return [(start, size) for size in reversed(self.sizes) for start in self.buckets[size]]

    # ---- the whole set ----

    def restart(self) -> None:
        """All pages are free, as range_tree_set() of everything leaves it."""
        self.taken[:] = bytes(len(self.taken))
        self.tail = FREE
        self.lose_order()
        self.ordered = True
        self._insert(0, self.limit)

    def forget(self) -> None:
        """Nothing is known of any page."""
        self.taken.clear()
        self.tail = UNSURE
        self.lose_order()

    def lose_order(self) -> None:
        """Which pages are free stays known, the order of the ranges does not."""
        self.ordered = False
        self.size_at.clear()
        self.buckets.clear()
        self.sizes.clear()
        self.pushed = 0

    def doubt(self, start: int, count: int) -> None:
        """Nothing is known of these pages any more."""
        self.reach(start + count)
        self.taken[start : start + count] = b"\2" * count
        self.lose_order()

    def reach(self, end: int) -> None:
        """Have a byte for each page below ``end``."""
        have = len(self.taken)
        if end > have:
            more = max(end, min(2 * have, self.limit), _LEAST) - have
            self.taken += bytes([self.tail]) * more

    # ---- the kernel's operations ----

    def find(self, count: int) -> int:
        """First page of the range that ``count`` pages are taken from (range_tree_find())."""
        self.tidy()
        sizes, size_at = self.sizes, self.size_at
        at = bisect_left(sizes, count)
        while at < len(sizes):
            size = sizes[at]
            bucket = self.buckets[size]
            while bucket:
                if size_at.get(bucket[-1]) == size:
                    return bucket[-1]
                bucket.pop()
            del sizes[at]
        return NO_ROOM

    def is_set(self, start: int, count: int) -> bool:
        """Whether all of the pages are in the set (is_range_tree_set())."""
        end = start + count
        self.reach(end)
        return end <= self.limit and self.taken.count(FREE, start, end) == count

    def clear(self, start: int, count: int) -> None:
        """Take the pages out of the set, whether they are in it or not (range_tree_clear())."""
        end = start + count
        self.reach(end)
        taken = self.taken
        if self.ordered:
            page = taken.find(FREE, start, end)
            while page >= 0:
                # only the first range can begin before the pages, only the last end behind
                first = taken.rfind(TAKEN, 0, page) + 1
                last_end = first + self.size_at.pop(first)
                if first < start:
                    self._insert(first, start - first)
                if last_end > end:
                    self._insert(end, last_end - end)
                    break
                page = taken.find(FREE, last_end, end)
        taken[start:end] = bytearray(b"\1") * count

    def set(self, start: int, count: int) -> None:
        """Put the pages into the set, whether they are in it or not (range_tree_set()).

        The kernel clears them first and then merges with both neighbours: one new range is
        left in the place of all that overlapped the pages or lay beside them.
        """
        end = start + count
        self.reach(end)
        taken, size_at = self.taken, self.size_at
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
            page = before.find(FREE, first + size_at.pop(first) - start)
        while page >= 0:
            past = page + size_at.pop(start + page)
            end = max(end, start + past)
            page = before.find(FREE, past)
        end += size_at.pop(end, 0)
        self._insert(first, end - first)

    # ---- the same where more is known beforehand ----

    def take(self, start: int, count: int) -> bool:
        """``clear`` of the pages if ``find`` gives ``start``; otherwise nothing, and False."""
        if start < 0 or self.find(count) != start:
            return False
        self.clear(start, count)
        return True

    def give(self, start: int, count: int) -> None:
        """``set`` for pages of which none is in the set."""
        end = start + count
        self.reach(end)
        taken = self.taken
        taken[start:end] = bytearray(count)
        if not self.ordered:
            return
        if start and taken[start - 1] == FREE:
            start = taken.rfind(TAKEN, 0, start) + 1
            del self.size_at[start]
        end += self.size_at.pop(end, 0)
        self._insert(start, end - start)

    # ---- ranges ----

    def _insert(self, start: int, size: int) -> None:
        self.size_at[start] = size
        bucket = self.buckets.get(size)
        if bucket:
            bucket.append(start)
        else:
            self.buckets[size] = [start]
            insort(self.sizes, size)
        self.pushed += 1

    def tidy(self) -> None:
        """Sweep if there may be many more entries than ranges."""
        if self.pushed > 2 * len(self.size_at) + _MOST_DEAD:
            self.sweep()

    def sweep(self) -> None:
        """Drop the dead entries: of each range but the topmost, and of ranges that are gone."""
        for size in self.sizes:
            living = (one for one in reversed(self.buckets[size]) if self.size_at.get(one) == size)
            self.buckets[size] = list(dict.fromkeys(living))[::-1]
        self.sizes[:] = [size for size in self.sizes if self.buckets[size]]
        for size in self.buckets.keys() - self.sizes:
            del self.buckets[size]
        self.pushed = 0


class LowestFit(RangeTree):
    """The free set of kernels before 6.13: a maple tree, of which the lowest gap is taken.

    Follows mtree_alloc_range() as kernel/bpf/arena.c used it then.
    """

    __slots__ = ()

    def find(self, count: int) -> int:
        """First page of the lowest range that fits."""
        found = self.taken.find(bytes(count))
        if found < 0 and self.tail == FREE:
            found = self.taken.rfind(TAKEN) + 1
        return found if found + count <= self.limit else NO_ROOM
