# ruff: noqa: D102 -- each method is named after the operation that it follows
"""Independent oracles: two free sets and one arena, as simple as possible.

``SizeTree`` is the kernel's tree by size without rebalancing, which never changes the order of
nodes: larger nodes go left, equal nodes go right, and the search goes right while the node
fits. ``NaiveFree`` is a list of ranges with serial numbers. ``NaiveArena`` has a free set and
one string per page.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from arenatrace.model.kernel.profiles import BPF_F_SEGV_ON_FAULT


@dataclass(eq=False)
class Node:
    """A range in the tree by size."""

    start: int
    last: int
    left: Node | None = None
    right: Node | None = None

    @property
    def size(self) -> int:
        return self.last - self.start + 1


class SizeTree:
    """range_tree.c with an unbalanced tree by size and a linear search by address."""

    def __init__(self) -> None:
        self.root: Node | None = None
        self.nodes: list[Node] = []

    def insert(self, start: int, last: int) -> None:
        node = Node(start, last)
        self.nodes.append(node)
        if self.root is None:
            self.root = node
            return
        at = self.root
        while True:
            if node.size > at.size:
                if at.left is None:
                    at.left = node
                    return
                at = at.left
            else:
                if at.right is None:
                    at.right = node
                    return
                at = at.right

    def remove(self, node: Node) -> None:
        self.nodes.remove(node)
        order = [one for one in self.in_order() if one is not node]
        # The other nodes keep their order; a chain to the right is a tree too.
        for one in order:
            one.left = one.right = None
        for before, after in pairwise(order):
            before.right = after
        self.root = order[0] if order else None

    def in_order(self) -> list[Node]:
        found: list[Node] = []
        waiting: list[Node] = []
        at = self.root
        while at is not None or waiting:
            while at is not None:
                waiting.append(at)
                at = at.left
            at = waiting.pop()
            found.append(at)
            at = at.right
        return found

    def find(self, count: int) -> int:
        best, at = -1, self.root
        while at is not None:
            if count <= at.size:
                best, at = at.start, at.right
            else:
                at = at.left
        return best

    def first(self, start: int, last: int) -> Node | None:
        hit = [one for one in self.nodes if one.start <= last and one.last >= start]
        return min(hit, key=lambda one: one.start, default=None)

    def clear(self, start: int, count: int) -> None:
        last = start + count - 1
        while (node := self.first(start, last)) is not None:
            self.remove(node)
            if node.start < start:
                self.insert(node.start, start - 1)
            if node.last > last:
                self.insert(last + 1, node.last)

    def set(self, start: int, count: int) -> None:
        last = start + count - 1
        node = self.first(start, last)
        if node is not None and node.start <= start and node.last >= last:
            return
        self.clear(start, count)
        left, right = self.first(start - 1, start - 1), self.first(last + 1, last + 1)
        if left is not None:
            self.remove(left)
            start = left.start
        if right is not None:
            self.remove(right)
            last = right.last
        self.insert(start, last)


class NaiveFree:
    """Ranges as (start, end, serial), with a linear search for the best fit."""

    def __init__(self, pages: int) -> None:
        self.ranges: list[tuple[int, int, int]] = [(0, pages, 0)]
        self.serial = 0

    def _add(self, start: int, end: int) -> None:
        self.serial += 1
        self.ranges.append((start, end, self.serial))

    def find(self, count: int) -> int:
        fitting = [one for one in self.ranges if one[1] - one[0] >= count]
        if not fitting:
            return -1
        return min(fitting, key=lambda one: (one[1] - one[0], -one[2]))[0]

    def has(self, page: int) -> bool:
        return any(start <= page < end for start, end, _ in self.ranges)

    def clear(self, first: int, count: int) -> None:
        for one in sorted(self.ranges):
            start, end, _ = one
            if end <= first or start >= first + count:
                continue
            self.ranges.remove(one)
            if start < first:
                self._add(start, first)
            if end > first + count:
                self._add(first + count, end)

    def set(self, first: int, count: int) -> None:
        end = first + count
        if any(start <= first and end <= stop for start, stop, _ in self.ranges):
            return
        self.clear(first, count)
        for one in list(self.ranges):
            if one[1] == first or one[0] == end:
                self.ranges.remove(one)
                first, end = min(first, one[0]), max(end, one[1])
        self._add(first, end)


class NaiveArena:
    """One string per page ("" for an empty entry) and the rules of kernel/bpf/arena.c."""

    def __init__(self, profile: str, pages: int, flags: int) -> None:
        self.profile, self.pages = profile, pages
        self.segv = bool(flags & BPF_F_SEGV_ON_FAULT)
        self.garbage = profile == "map-always" and bool(flags & 1 << 20)
        self.free = NaiveFree(pages)
        self.page = [""] * pages
        self.waiting: list[tuple[int, int]] = []

    def alloc(self, requested: int | None, count: int) -> int | None:
        """Return the first page, None if refused. The caller can sleep."""
        if count > self.pages or (requested is not None and requested + count > self.pages):
            return None
        if requested is None:
            first = self.free.find(count)
            if first < 0:
                return None
        else:
            first = requested
            if not all(self.free.has(first + ahead) for ahead in range(count)):
                return None
        self.free.clear(first, count)
        for ahead in range(count):
            if self.page[first + ahead] == "scratch" and self.profile == "scratch-sticky":
                self.free.set(first + ahead, count - ahead)
                if ahead:
                    self.free_now(first, ahead)
                return None
            self.page[first + ahead] = "real"
        return first

    def free_now(self, first: int, count: int) -> None:
        count = min(count, self.pages - first)
        if count <= 0:
            return
        self.free.set(first, count)
        for one in range(first, first + count):
            if self.page[one] == "scratch" and self.profile == "scratch-sticky":
                continue
            self.page[one] = ""

    def free_later(self, first: int, count: int) -> None:
        if first < self.pages:
            self.waiting.append((first, min(count, self.pages - first)))

    def work(self) -> None:
        while self.waiting:
            self.free_now(*self.waiting.pop())

    def reserve(self, first: int, count: int) -> int:
        if first + count > self.pages:
            return -22
        if not all(self.free.has(first + ahead) for ahead in range(count)):
            return -16
        self.free.clear(first, count)
        return 0

    def user(self, page: int) -> str:
        if self.page[page] == "real":
            return "mapped"
        if self.page[page] == "scratch" or self.segv:
            return "sigsegv"
        self.free.clear(page, 1)
        self.page[page] = "real"
        return "mapped"

    def kernel(self, page: int) -> str:
        if self.page[page] or self.garbage:
            return "no fault"
        if self.profile in ("pre-scratch", "map-always"):
            return "oops"
        self.page[page] = "scratch"
        return "scratch-installed"

    def prog(self, page: int) -> str:
        return "no fault" if self.page[page] or self.garbage else "program fault"
