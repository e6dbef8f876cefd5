"""Random requests of programs, the kernel and user space to an arena."""

from __future__ import annotations

from collections.abc import Callable

from arenatrace.model.kernel.arena import BAND_PAGES, RECOVERY_PAGES
from arenatrace.model.synth.simulated_arena import SimulatedArena


class Workload(SimulatedArena):
    """One arena under random requests."""

    def step(self) -> None:
        """Make one random request."""
        self.rng.choices(_REQUESTS, _WEIGHTS)[0](self)

    def some_count(self) -> int:
        """Return a random number of pages, usually small."""
        return self.rng.choice((1, 1, 1, 1, 2, 2, 3, 4, 7, 8, 16, 33, 64))

    def some_page(self) -> int:
        """Return a page of the user range, often one that was used before."""
        known = self.rng.choice((self.live, self.reserved, ()))
        if known:
            first, count = self.rng.choice(known[-64:])
            return first + self.rng.randrange(count)
        if self.scratched and self.rng.random() < 0.3:
            page = self.rng.choice(self.scratched[-64:])
            if page < self.arena.max_entries:
                return page
        return self.rng.randrange(self.arena.max_entries)

    def take_live(self) -> tuple[int, int] | None:
        """Remove a random allocation from ``live`` and return it."""
        if not self.live:
            return None
        at = self.rng.randrange(len(self.live))
        self.live[at], self.live[-1] = self.live[-1], self.live[at]
        return self.live.pop()

    def try_alloc(self) -> None:
        """Allocate any pages; free some instead if too many are in use."""
        if len(self.live) > 40 and self.rng.random() < len(self.live) / 400:
            self.try_free()
            return
        self.alloc(self.some_count(), sleepable=self.rng.random() < 0.7)

    def try_alloc_at(self) -> None:
        """Allocate at an address, valid or not."""
        if self.rng.random() < 0.1:
            page, count = self.some_page(), self.some_count()
            self.alloc_event(page, count, self.uaddr(page) + 8, 0)
        else:
            top = self.arena.max_entries + 4
            page = self.some_page() if self.rng.random() < 0.8 else self.rng.randrange(top)
            self.alloc(self.some_count(), page)

    def try_too_many(self) -> None:
        """Allocate more pages than the arena has."""
        self.alloc(self.arena.max_entries + self.rng.randrange(1, 5))

    def try_bad_node(self) -> None:
        """Allocate on an impossible NUMA node."""
        self.alloc_event(None, self.some_count(), 0, 0, node=self.rng.choice((-2, 1, 1000)))

    def try_free(self) -> None:
        """Free an allocation, a part of one, or more than one."""
        found = self.take_live()
        if found is None:
            return
        page, count = found
        cut = self.rng.random()
        if cut < 0.15 and count > 1:
            head = self.rng.randrange(1, count)
            self.live.append((page + head, count - head))
            count = head
        elif cut < 0.25:
            count += self.rng.randrange(1, 4)
        self.free(page, count, sleepable=self.rng.random() < 0.7)

    def try_free_any(self) -> None:
        """Free any pages, allocated or not."""
        self.free(self.some_page(), self.some_count(), sleepable=self.rng.random() < 0.7)

    def try_drain(self) -> None:
        """Run the worker if frees are queued, and sometimes without any."""
        if self.arena.queue or self.rng.random() < 0.05:
            self.drain()

    def try_reserve(self) -> None:
        """Reserve pages, valid or not."""
        kind = self.rng.random()
        if kind < 0.1:
            self.reserve(self.some_page(), 1, shift=16)
        elif kind < 0.2:
            self.reserve(self.arena.max_entries - 1, 2 + self.rng.randrange(3))
        else:
            self.reserve(self.some_page(), self.rng.choice((1, 1, 2, 5)))

    def try_user_touch(self) -> None:
        """Access any page of the user range from user space."""
        self.user_touch(self.some_page())

    def try_kernel_touch(self) -> None:
        """Access any page from the kernel, inside or outside the user range."""
        self.kernel_touch(self._anywhere())

    def try_prog_touch(self) -> None:
        """Access any page from a program, inside or outside the user range."""
        self.prog_touch(self._anywhere())

    def _anywhere(self) -> int:
        if self.rng.random() < 0.05:
            return self.rng.randrange(BAND_PAGES - 8, RECOVERY_PAGES)
        return self.some_page()


_REQUESTS: tuple[Callable[[Workload], None], ...] = (
    Workload.try_alloc,
    Workload.try_alloc_at,
    Workload.try_too_many,
    Workload.try_bad_node,
    Workload.try_free,
    Workload.try_free_any,
    Workload.try_drain,
    Workload.try_reserve,
    Workload.try_user_touch,
    Workload.try_kernel_touch,
    Workload.try_prog_touch,
)
_WEIGHTS = (34, 6, 1, 1, 25, 4, 8, 4, 6, 6, 6)
