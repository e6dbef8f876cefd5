"""One arena as the kernel keeps it (kernel/bpf/arena.c): free set, page table, deferred frees.

Pages are numbered as compute_pgoff() does: 0 to 2**20 - 1 around the 4 GiB band, starting at
user_vm_start, and 2**20 on for the upper half-guard, which recovery covers too. The first
``limit`` of them are the user range.

What a trace has not shown yet is unknown, never assumed: a page table entry is Pte.UNKNOWN, a
page is UNSURE in the free set, ``limit`` is None until the user range is known to be fixed,
and only while ``free.ordered`` does ``find`` give the address the kernel must choose.
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
    """Why an allocation gives no page. Negative, so that it is never a page."""

    NO_ROOM = -1
    #: More pages than the user range has, a misaligned requested, or one outside the range.
    IMPOSSIBLE = -2
    TAKEN = -3
    #: A page of the range is scratched and this kernel does not replace scratch.
    SCRATCHED = -4
    #: Not a refusal: the model cannot tell where the pages must come from.
    UNKNOWN = -5


class Freeness(IntEnum):
    """Whether a range lies in the free set."""

    TAKEN = 0
    FREE = 1
    UNKNOWN = 2


class Arena:
    """The state of one arena and the effect of every operation on it.

    ``max_entries`` is in pages. A fresh arena is known whole; one that was there before the
    trace is not. Operations take page numbers and counts above 0 that the caller has checked;
    they raise nothing.
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
        #: What the entry of a page of the band holds that was never touched, or was freed.
        self.empty = _GARBAGE if self.touch == Touch.GARBAGE else _NONE
        #: What a free makes of each state.
        self.freed = self._freed()
        self.limit: int | None = max_entries if user_range else None
        self.free: RangeTree = (LowestFit if profile.maple else RangeTree)(max_entries)
        #: A Pte for each page of the user range up to the highest touched; ``tail`` above it.
        self.pte = bytearray()
        self.tail = self.empty
        #: Pages of the band and the guard outside the user range that are not as they began.
        self.outside: dict[int, Pte] = {}
        self.outside_known = True
        #: Deferred frees, (page, count), oldest first.
        self.queue: list[tuple[int, int]] = []
        self.queue_known = True
        #: Frees that reached pages which were not mapped: the program's mistake.
        self.stray_frees = 0
        if not fresh:
            self.forget()
        elif max_entries:
            self.free.restart()

    def _freed(self) -> bytes:
        table: dict[int, int] = dict.fromkeys(_STATES, self.empty)
        if self.touch == Touch.SCRATCH and not self.profile.free_clears_scratch:
            table[_SCRATCH] = _SCRATCH
            # it may have been scratched before anyone looked
            table[_UNKNOWN] = _UNKNOWN
        return bytes(table.get(byte, byte) for byte in range(256))

    def copy(self) -> Arena:
        """An independent copy."""
        other = object.__new__(Arena)
        for name in ("profile", "max_entries", "map_flags", "touch", "empty", "freed", "limit"):
            setattr(other, name, getattr(self, name))
        other.free, other.pte, other.tail = self.free.copy(), self.pte.copy(), self.tail
        other.outside, other.outside_known = self.outside.copy(), self.outside_known
        other.queue, other.queue_known = self.queue.copy(), self.queue_known
        other.stray_frees = self.stray_frees
        return other

    def size(self) -> int:
        """How much state there is, for comparison with a number of events."""
        return len(self.pte) // 64 + len(self.free) + len(self.outside) + len(self.queue)

    def forget(self) -> None:
        """Events were lost: nothing is known any more but what the arena is."""
        self.free.forget()
        self.pte.clear()
        self.tail = _UNKNOWN
        self.outside.clear()
        self.queue.clear()
        self.queue_known = self.outside_known = False

    def mark_unknown(self, page: int, count: int) -> None:
        """The trace contradicts what is known of the pages: nothing is known of them now."""
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
        """Have a state for each page of the user range below ``end``."""
        if end > len(self.pte):
            self.free.reach(end)
            self.pte += bytes([self.tail]) * (len(self.free.taken) - len(self.pte))

    # ---- what is known of a page ----

    def state(self, page: int) -> Pte:
        """The page table entry of ``page``."""
        if page < len(self.pte):
            return _STATES[self.pte[page]]
        if page < self.max_entries:
            return self.tail
        # The garbage page was put under the band only, not under the guard.
        untouched = self.empty if page < BAND_PAGES else _NONE
        return self.outside.get(page, untouched if self.outside_known else _UNKNOWN)

    def set_pte(self, page: int, state: Pte) -> None:
        """The entry of a page, anywhere, was found to hold or was given ``state``."""
        if page < self.max_entries:
            self.reach(page + 1)
            self.pte[page] = state
        else:
            self.outside[page] = state

    def freeness(self, page: int, count: int) -> Freeness:
        """Whether all of the pages are in the free set, as is_range_tree_set() would find."""
        if page + count > self.max_entries:
            return Freeness.TAKEN
        self.reach(page + count)
        pages = self.free.taken[page : page + count]
        if TAKEN in pages:
            return Freeness.TAKEN
        return Freeness.UNKNOWN if UNSURE in pages else Freeness.FREE

    def scratched(self, page: int, count: int) -> int:
        """Pages before the first scratched one of the range, -1 if none is scratched."""
        found = self.pte.find(_SCRATCH, page, page + count)
        return found - page if found >= 0 else -1

    # ---- allocation: arena_alloc_pages() ----

    def find_pages(self, requested: int | None, count: int) -> int:
        """The first page an allocation must get, or a Refusal. Changes nothing.

        ``requested`` is the page asked for, None for anywhere.
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
        """The pages were allocated: out of the free set, each backed by a page of its own."""
        self.reach(page + count)
        self.free.clear(page, count)
        self.pte[page : page + count] = bytearray([_REAL]) * count

    def refuse_scratched(self, page: int, count: int, mapped: int, *, sleepable: bool) -> None:
        """An allocation of the range ran into scratch after ``mapped`` pages.

        The range returns to the free set, the part that was mapped by way of
        arena_free_pages(): at once, or through the worker if the caller could not sleep. That
        inner call is an event of its own, so the queueing is left to it.
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
        """An allocation was refused that the model had no place for.

        If it ran into scratch, what it had mapped waits for the worker by now.
        """
        if sleepable or self.profile.alloc_replaces_scratch or self.touch != Touch.SCRATCH:
            return
        for page, count in self.queue:
            states = self.pte[page : page + count]
            self.pte[page : page + count] = states.replace(bytes([_NONE]), bytes([_UNKNOWN]))

    # ---- free: arena_free_pages(), arena_free_worker() ----

    def clamp(self, page: int, count: int) -> int:
        """How many of the pages a free reaches: it stops at the end of the user range."""
        return max(0, min(count, (self.limit or 0) - page))

    def release(self, page: int, count: int) -> None:
        """Pages inside the user range are freed, now."""
        end = page + count
        self.reach(end)
        states = self.pte[page:end]
        real = states.count(_REAL)
        self.pte[page:end] = states.translate(self.freed)
        if real == count:
            # a mapped page is never in the free set
            self.free.give(page, count)
        else:
            self.stray_frees += real + states.count(_UNKNOWN) < count
            self.free.set(page, count)
        if not self.free.ordered and count == self.max_entries and self.queue_known:
            # one range is left: nothing about the free set is open any more
            self.free.restart()

    def defer(self, page: int, count: int) -> None:
        """The free is queued for the worker; until then the pages stay as they are."""
        self.reach(page + count)
        self.queue.append((page, count))

    def drain(self) -> None:
        """The worker runs: it takes the queue over, the latest first (an llist)."""
        if not self.queue_known:
            # anything may have been waiting since before the trace
            self.forget()
            self.queue_known = True
            return
        for page, count in reversed(self.queue):
            self.release(page, count)
        self.queue.clear()

    # ---- reserve: arena_reserve_pages() ----

    def reserve(self, page: int, count: int) -> None:
        """The pages are taken out of the free set and left without a page."""
        self.reach(page + count)
        self.free.clear(page, count)

    # ---- faults ----

    def user_fault(self, page: int) -> Pte | None:
        """What arena_vm_fault() must answer: REAL (mapped), NONE (SIGSEGV), None if unknown.

        Changes nothing; ``allocate`` the page if the answer is REAL.
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
            # mtree_insert() refuses a taken page; range_tree_clear() does not mind
            freeness = self.freeness(page, 1)
            if freeness == Freeness.UNKNOWN:
                return None
            return _REAL if freeness == Freeness.FREE else _NONE
        return _REAL
