"""State of one arena (kernel/bpf/arena.c): free set, page table entries and deferred frees.

Pages are numbered like compute_pgoff(): 0 to 2**20 - 1 around the 4 GiB band, starting at
user_vm_start, and from 2**20 on in the upper half-guard, which fault recovery covers too. The
first ``limit`` pages are the user range.

State that no event has shown is unknown: a page table entry is Pte.UNKNOWN, a page is UNSURE
in the free set, and ``limit`` is None until the user range is fixed. ``find`` predicts the
kernel's choice only while ``free.ordered``.
"""

from __future__ import annotations

from enum import IntEnum

from arenatrace.model.kernel.profiles import BPF_F_SEGV_ON_FAULT, Profile, Touch
from arenatrace.model.kernel.pte import Pte
from arenatrace.model.kernel.range_tree import TAKEN, UNSURE, LowestFit, RangeTree

#: Pages of the band, and of the band with the upper half-guard.
BAND_PAGES = 1 << 20
RECOVERY_PAGES = BAND_PAGES + 8

_REAL, _SCRATCH, _NONE = Pte.REAL, Pte.SCRATCH, Pte.NONE
_UNKNOWN, _GARBAGE = Pte.UNKNOWN, Pte.GARBAGE
_STATES = tuple(Pte)


class Refusal(IntEnum):
    """Why an allocation is refused. Values are negative, unlike page numbers."""

    NO_ROOM = -1
    #: More pages than the user range has, or a requested page outside of it.
    IMPOSSIBLE = -2
    TAKEN = -3
    #: A page of the range is scratched and this kernel does not replace scratch.
    SCRATCHED = -4
    #: Not a refusal: the model cannot predict the pages.
    UNKNOWN = -5


class Freeness(IntEnum):
    """Whether a range is in the free set."""

    TAKEN = 0
    FREE = 1
    UNKNOWN = 2


class Arena:
    """State of one arena and the effect of every operation on it.

    ``max_entries`` is in pages. The state of a fresh arena is known; the state of an arena
    older than the trace is unknown. The caller checks page numbers and counts (above 0);
    operations raise nothing.
    """

    __slots__ = (
        "empty",
        "free",
        "freed",
        "limit",
        "map_flags",
        "max_entries",
        "outside",
        "outside_known",
        "profile",
        "pte",
        "queue",
        "queue_known",
        "stray_frees",
        "tail",
        "touch",
    )

    def __init__(
        self,
        profile: Profile,
        max_entries: int,
        map_flags: int = 0,
        *,
        fresh: bool = True,
        user_range: bool = True,
    ) -> None:
        self.profile = profile
        self.max_entries = max_entries
        self.map_flags = map_flags
        self.touch = profile.touch(map_flags)
        #: Entry of a page of the band that was never accessed, or was freed.
        self.empty = _GARBAGE if self.touch == Touch.GARBAGE else _NONE
        #: Translation table: the state of an entry after a free.
        self.freed = self._freed()
        self.limit: int | None = max_entries if user_range else None
        self.free: RangeTree = (LowestFit if profile.maple else RangeTree)(max_entries)
        #: A Pte for each page of the user range up to the highest one used; ``tail`` above.
        self.pte = bytearray()
        self.tail = self.empty
        #: Changed pages of the band and the upper guard outside the user range.
        self.outside: dict[int, Pte] = {}
        self.outside_known = True
        #: Deferred frees, (page, count), oldest first.
        self.queue: list[tuple[int, int]] = []
        self.queue_known = True
        #: Frees of pages that were not mapped: a bug of the program.
        self.stray_frees = 0
        if not fresh:
            self.forget()
        elif max_entries:
            self.free.set_all()

    def _freed(self) -> bytes:
        """Return the table for ``freed``."""
        table: dict[int, int] = dict.fromkeys(_STATES, self.empty)
        if self.touch == Touch.SCRATCH and not self.profile.free_clears_scratch:
            table[_SCRATCH] = _SCRATCH
            # The page may have been scratched before the trace began.
            table[_UNKNOWN] = _UNKNOWN
        return bytes(table.get(byte, byte) for byte in range(256))

    def copy(self) -> Arena:
        """Return an independent copy."""
        other = object.__new__(Arena)
        for name in ("profile", "max_entries", "map_flags", "touch", "empty", "freed", "limit"):
            setattr(other, name, getattr(self, name))
        other.free, other.pte, other.tail = self.free.copy(), self.pte.copy(), self.tail
        other.outside, other.outside_known = self.outside.copy(), self.outside_known
        other.queue, other.queue_known = self.queue.copy(), self.queue_known
        other.stray_frees = self.stray_frees
        return other

    def size(self) -> int:
        """Return the cost of a copy, in units comparable to a number of events."""
        return len(self.pte) // 64 + len(self.free) + len(self.outside) + len(self.queue)

    def forget(self) -> None:
        """Make all state unknown after a loss of events."""
        self.free.forget()
        self.pte.clear()
        self.tail = _UNKNOWN
        self.outside.clear()
        self.queue.clear()
        self.queue_known = self.outside_known = False

    def mark_unknown(self, page: int, count: int) -> None:
        """Make the state of the pages unknown after a contradiction."""
        inside = min(count, self.max_entries - page)
        if inside > 0:
            self.reach(page + inside)
            self.free.mark_unknown(page, inside)
            self.pte[page : page + inside] = bytes([_UNKNOWN]) * inside
        else:
            self.free.lose_order()
            if page >= self.max_entries:
                self.outside[page] = _UNKNOWN

    def reach(self, end: int) -> None:
        """Extend ``pte`` to at least ``end`` pages."""
        if end > len(self.pte):
            self.free.reach(end)
            self.pte += bytes([self.tail]) * (len(self.free.taken) - len(self.pte))

    # ---- state of pages ----

    def state(self, page: int) -> Pte:
        """Return the page table entry of ``page``."""
        if page < len(self.pte):
            return _STATES[self.pte[page]]
        if page < self.max_entries:
            return self.tail
        # The garbage page backs the band, not the guard.
        untouched = self.empty if page < BAND_PAGES else _NONE
        return self.outside.get(page, untouched if self.outside_known else _UNKNOWN)

    def set_pte(self, page: int, state: Pte) -> None:
        """Set the page table entry of a page inside or outside the user range."""
        if page < self.max_entries:
            self.reach(page + 1)
            self.pte[page] = state
        else:
            self.outside[page] = state

    def freeness(self, page: int, count: int) -> Freeness:
        """Return whether all of the pages are in the free set (is_range_tree_set())."""
        if page + count > self.max_entries:
            return Freeness.TAKEN
        self.reach(page + count)
        pages = self.free.taken[page : page + count]
        if TAKEN in pages:
            return Freeness.TAKEN
        return Freeness.UNKNOWN if UNSURE in pages else Freeness.FREE

    def scratched(self, page: int, count: int) -> int:
        """Return the number of pages before the first scratched one, -1 without any."""
        found = self.pte.find(_SCRATCH, page, page + count)
        return found - page if found >= 0 else -1

    # ---- allocation: arena_alloc_pages() ----

    def find_pages(self, requested: int | None, count: int) -> int:
        """Return the first page that an allocation must get, or a Refusal. Changes no state.

        ``requested`` is the page that the caller asks for, None for any page.
        """
        limit = self.limit
        if limit is None:
            return Refusal.UNKNOWN
        if count > limit or (requested is not None and requested > limit - count):
            return Refusal.IMPOSSIBLE
        if requested is None:
            if not self.free.ordered:
                return Refusal.UNKNOWN
            page = self.free.find(count)
            if page < 0:
                return Refusal.NO_ROOM
        else:
            freeness = self.freeness(requested, count)
            if freeness != Freeness.FREE:
                return Refusal.UNKNOWN if freeness == Freeness.UNKNOWN else Refusal.TAKEN
            page = requested
        if not self.profile.alloc_replaces_scratch and self.scratched(page, count) >= 0:
            return Refusal.SCRATCHED
        return page

    def allocate(self, page: int, count: int) -> None:
        """Allocate the pages: remove them from the free set and map them."""
        self.reach(page + count)
        self.free.clear(page, count)
        self.pte[page : page + count] = bytearray([_REAL]) * count

    def refuse_scratched(self, page: int, count: int, mapped: int, *, sleepable: bool) -> None:
        """Refuse an allocation that met a scratch page after ``mapped`` pages.

        The range returns to the free set. The mapped part goes through arena_free_pages(): at
        once, or through the worker if the caller cannot sleep. That inner call is an event of
        its own, which queues the deferred free.
        """
        self.reach(page + count)
        self.free.clear(page, count)
        self.free.set(page + mapped, count - mapped)
        if not mapped:
            return
        if sleepable:
            self.free.set(page, mapped)
        else:
            self.pte[page : page + mapped] = bytearray([_REAL]) * mapped

    def refuse_unseen(self, *, sleepable: bool) -> None:
        """Account for a refused allocation whose pages are unknown.

        If it met a scratch page, the pages it mapped before are deferred frees now.
        """
        if sleepable or self.profile.alloc_replaces_scratch or self.touch != Touch.SCRATCH:
            return
        for page, count in self.queue:
            states = self.pte[page : page + count]
            self.pte[page : page + count] = states.replace(bytes([_NONE]), bytes([_UNKNOWN]))

    # ---- free: arena_free_pages(), arena_free_worker() ----

    def clamp(self, page: int, count: int) -> int:
        """Return how many of the pages a free covers: it stops at the end of the user range."""
        return max(0, min(count, (self.limit or 0) - page))

    def release(self, page: int, count: int) -> None:
        """Free pages inside the user range at once."""
        end = page + count
        self.reach(end)
        states = self.pte[page:end]
        real = states.count(_REAL)
        self.pte[page:end] = states.translate(self.freed)
        if real == count:
            # A mapped page is never in the free set.
            self.free.give(page, count)
        else:
            self.stray_frees += real + states.count(_UNKNOWN) < count
            self.free.set(page, count)
        if not self.free.ordered and count == self.max_entries and self.queue_known:
            # The whole user range is one free range: the order is known again.
            self.free.set_all()

    def defer(self, page: int, count: int) -> None:
        """Queue a free for the worker. The pages do not change until then."""
        self.reach(page + count)
        self.queue.append((page, count))

    def drain(self) -> None:
        """Run the worker over the deferred frees, latest first (an llist)."""
        if not self.queue_known:
            # Any page may have been queued before the trace began.
            self.forget()
            self.queue_known = True
            return
        for page, count in reversed(self.queue):
            self.release(page, count)
        self.queue.clear()

    # ---- reserve: arena_reserve_pages() ----

    def reserve(self, page: int, count: int) -> None:
        """Remove the pages from the free set without mapping them."""
        self.reach(page + count)
        self.free.clear(page, count)

    # ---- faults ----

    def user_fault(self, page: int) -> Pte | None:
        """Return the result of arena_vm_fault(): REAL (mapped), NONE (SIGSEGV), None if unknown.

        Changes no state. The caller allocates the page if the result is REAL.
        """
        state = self.state(page)
        if state == _REAL:
            return _REAL
        if state == _SCRATCH:
            return _NONE
        if state == _UNKNOWN:
            return None
        if self.map_flags & BPF_F_SEGV_ON_FAULT:
            return _NONE
        if self.profile.maple:
            # mtree_insert() refuses a taken page; range_tree_clear() accepts it.
            freeness = self.freeness(page, 1)
            if freeness == Freeness.UNKNOWN:
                return None
            return _REAL if freeness == Freeness.FREE else _NONE
        return _REAL
