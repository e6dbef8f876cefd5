"""The free set of an arena, with the kernel's best fit (kernel/bpf/range_tree.c).

The kernel keeps free ranges in a tree ordered by descending size, where a range goes behind
those of its own size, and takes the last one that is large enough. So the winner is the
smallest range that fits and, among equals, the one inserted last. What counts as an insertion
is therefore part of the behaviour: a range that is trimmed or merged is taken out and
inserted again, and a range cut in two has its left part inserted before its right part.

Here a byte for each page says whether it is free, the ranges of one size are kept in the order
of their insertion, and a byte for each size says whether there is a range of it: the smallest
that fits is found by one search through bytes. Sizes that would make it long are in a list.
"""

from __future__ import annotations

from bisect import bisect_left, insort

#: What ``find`` returns if nothing fits.
NO_ROOM = -1

#: Bytes of ``taken``.
FREE, TAKEN, UNSURE = 0, 1, 2

#: Sizes from here on are kept in a list.
LARGE = 4096

_LEAST = 64


class RangeTree:
    """A set of pages below ``limit``. Starts and counts are pages; counts are above 0.

    A new one is empty. What is in the set may be in doubt (``doubt``); then the order of the
    ranges is unknown and ``find`` has no meaning until all of it is free again (``restart``).
    """

    __slots__ = ("buckets", "large", "limit", "ordered", "size_at", "small", "tail", "taken")

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
        #: size -> first pages of the ranges of that size, the one inserted last behind; the
        #: values mean nothing, and no bucket is empty
        self.buckets: dict[int, dict[int, None]] = {}
        #: 1 for each size below LARGE of which there is a range
        self.small = bytearray(LARGE)
        #: the other sizes of which there is one, ascending
        self.large: list[int] = []

    def __len__(self) -> int:
        """How many ranges there are, 0 if that is unknown."""
        return len(self.size_at)

    def copy(self) -> RangeTree:
        """An independent copy."""
        other = type(self)(self.limit)
        other.ordered, other.tail = self.ordered, self.tail
        other.taken = self.taken.copy()
        other.size_at = self.size_at.copy()
        other.buckets = {size: bucket.copy() for size, bucket in self.buckets.items()}
        other.small, other.large = self.small.copy(), self.large.copy()
        return other

    def ranges(self) -> list[tuple[int, int]]:
        """(first page, pages) of every range by address."""
        return sorted(self.size_at.items())

    def by_size(self) -> list[tuple[int, int]]:
        """(first page, pages) of every range in the order of the kernel's size tree."""
        return [
            (start, size)
            for size in sorted(self.buckets, reverse=True)
            for start in self.buckets[size]
        ]

    # ---- the whole set ----

    def restart(self) -> None:
        """All pages are free, as range_tree_set() of everything leaves it."""
        self.taken[:] = bytes(len(self.taken))
        self.tail = FREE
        self.lose_order()
        self.ordered = True
        self.insert(0, self.limit)

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
        self.small[:] = bytes(LARGE)
        self.large.clear()

    def mark_unknown(self, start: int, count: int) -> None:
        """Nothing is known of these pages any more."""
        self.reach(start + count)
        self.taken[start : start + count] = b"\2" * count
        self.lose_order()

    def reach(self, end: int) -> None:
        """Have a byte for each page below ``end``, and for none past the limit by itself."""
        have = len(self.taken)
        if end > have:
            more = max(end, min(max(2 * have, _LEAST), self.limit)) - have
            self.taken += bytes([self.tail]) * more

    # ---- the kernel's operations ----

    def find(self, count: int) -> int:
        """First page of the range that ``count`` pages are taken from (range_tree_find())."""
        size = self.smallest(count)
        return next(reversed(self.buckets[size])) if size else NO_ROOM

    def smallest(self, count: int) -> int:
        """The size of the smallest ranges that have ``count`` pages, 0 if none has."""
        size = self.small.find(1, count)
        if size >= 0:
            return size
        at = bisect_left(self.large, count)
        return self.large[at] if at < len(self.large) else 0

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
                last_end = first + self.remove(first)
                if first < start:
                    self.insert(first, start - first)
                if last_end > end:
                    self.insert(end, last_end - end)
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
            self.remove(start)
        if end in self.size_at:
            end += self.remove(end)
        self.insert(start, end - start)

    # ---- ranges ----

    def insert(self, start: int, size: int) -> None:
        """Put a range into the trees (range_it_insert())."""
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
        """Take the range that begins at ``start`` out of them (range_it_remove()); its size."""
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
