"""One arena as the kernel keeps it (kernel/bpf/arena.c): free set, page table, deferred frees.

Pages are numbered as compute_pgoff() does: 0 to 2**20 - 1 around the 4 GiB band, starting at
user_vm_start, and 2**20 on for the upper half-guard, which recovery covers too. The first
``limit`` of them are the user range.

What a trace has not shown yet is unknown, never assumed:

- ``complete``: the free set is known whole. If not, only pages in ``free`` are known free,
  and only mapped pages and those in ``held`` known taken.
- ``ordered``: the order in which ranges were inserted is known too, so that ``find`` gives
  the address the kernel must choose.
- ``limit`` is None until the user range is known to be fixed.
- ``unsure``: single pages whose state was contradicted.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

from arenatrace.model.profiles import BPF_F_SEGV_ON_FAULT, Profile, Touch
from arenatrace.model.pte import Pte
from arenatrace.model.range_tree import LowestFit, RangeTree

#: Pages of the band, and of the band with the upper half-guard.
BAND_PAGES = 1 << 20
RECOVERY_PAGES = BAND_PAGES + 8

_REAL, _SCRATCH, _NONE = Pte.REAL, Pte.SCRATCH, Pte.NONE
_UNKNOWN, _GARBAGE = Pte.UNKNOWN, Pte.GARBAGE


class Refusal(IntEnum):
    """Why an allocation gives no page. Negative, so that it is never a page."""

    NO_ROOM = -1
    #: More pages than the user range has, a misaligned wish, or one outside the range.
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
        "complete",
        "free",
        "held",
        "limit",
        "map_flags",
        "max_entries",
        "ordered",
        "profile",
        "pte",
        "queue",
        "queue_known",
        "stray_frees",
        "touch",
        "unsure",
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
        self.limit: int | None = max_entries if user_range else None
        self.free: RangeTree = LowestFit() if profile.maple else RangeTree()
        self.pte: dict[int, Pte] = {}
        self.held: set[int] = set()
        self.unsure: set[int] = set()
        #: Deferred frees, (page, count), oldest first.
        self.queue: list[tuple[int, int]] = []
        self.queue_known = fresh
        self.complete = fresh
        self.ordered = fresh
        #: Frees that reached pages which were not mapped: the program's mistake.
        self.stray_frees = 0
        if fresh and max_entries:
            self.free.give(0, max_entries)

    def copy(self) -> Arena:
        """An independent copy."""
        other = Arena(self.profile, 0, self.map_flags)
        other.max_entries, other.limit = self.max_entries, self.limit
        other.free = self.free.copy()
        other.pte = self.pte.copy()
        other.held, other.unsure = self.held.copy(), self.unsure.copy()
        other.queue, other.queue_known = self.queue.copy(), self.queue_known
        other.complete, other.ordered = self.complete, self.ordered
        other.stray_frees = self.stray_frees
        return other

    def size(self) -> int:
        """How much state there is: pages and ranges remembered."""
        return len(self.pte) + len(self.free) + len(self.held) + len(self.unsure)

    def forget(self) -> None:
        """Events were lost: nothing is known any more but what the arena is."""
        self.free = type(self.free)()
        self.pte.clear()
        self.held.clear()
        self.unsure.clear()
        self.queue.clear()
        self.queue_known = self.complete = self.ordered = False

    # ---- what is known of a page ----

    @property
    def empty(self) -> Pte:
        """The state of a page table entry that holds no page."""
        return _GARBAGE if self.touch == Touch.GARBAGE else _NONE

    def state(self, page: int) -> Pte:
        """The page table entry of ``page``."""
        found = self.pte.get(page)
        if found is not None:
            return found
        if not self.complete:
            return _UNKNOWN
        # The garbage page was put under the band only, not under the guard.
        return self.empty if page < BAND_PAGES else _NONE

    def freeness(self, page: int, count: int) -> Freeness:
        """Whether all of the pages are in the free set, as is_range_tree_set() would find."""
        if self.free.is_set(page, count):
            return Freeness.FREE
        if self.complete and not self.unsure:
            return Freeness.TAKEN
        if count > self.max_entries:
            return Freeness.TAKEN
        answer = Freeness.FREE
        for one in range(page, page + count):
            if self.free.is_set(one, 1):
                continue
            if one not in self.unsure and (self.complete or self._known_taken(one)):
                return Freeness.TAKEN
            answer = Freeness.UNKNOWN
        return answer

    def _known_taken(self, page: int) -> bool:
        return page in self.held or self.pte.get(page) == _REAL

    def scratched(self, page: int, count: int) -> int:
        """Pages before the first scratched one of the range, -1 if none is scratched."""
        pte = self.pte
        for ahead in range(count):
            if pte.get(page + ahead) == _SCRATCH:
                return ahead
        return -1

    # ---- allocation: arena_alloc_pages() ----

    def place(self, wish: int | None, count: int) -> int:
        """The first page an allocation must get, or a Refusal. Changes nothing.

        ``wish`` is the page asked for, None for anywhere.
        """
        limit = self.limit
        if limit is None:
            return Refusal.UNKNOWN
        if count > limit or (wish is not None and wish > limit - count):
            return Refusal.IMPOSSIBLE
        if wish is None:
            if not self.ordered:
                return Refusal.UNKNOWN
            page = self.free.find(count)
            if page < 0:
                return Refusal.NO_ROOM
        else:
            freeness = self.freeness(wish, count)
            if freeness == Freeness.UNKNOWN:
                return Refusal.UNKNOWN
            if freeness == Freeness.TAKEN:
                return Refusal.TAKEN
            page = wish
        if not self.profile.alloc_replaces_scratch and self.scratched(page, count) >= 0:
            return Refusal.SCRATCHED
        return page

    def allocate(self, page: int, count: int) -> None:
        """The pages were allocated: out of the free set, each backed by a page of its own."""
        self.free.clear(page, count)
        pte = self.pte
        if count == 1:
            pte[page] = _REAL
        else:
            pte.update(dict.fromkeys(range(page, page + count), _REAL))
        self._settle(page, count)

    def refuse_scratched(self, page: int, count: int, mapped: int, *, sleepable: bool) -> None:
        """An allocation of the range ran into scratch after ``mapped`` pages.

        The range returns to the free set, the part that was mapped by way of
        arena_free_pages(): at once, or through the worker if the caller could not sleep. That
        inner call is an event of its own, so the queueing is left to it.
        """
        self.free.clear(page, count)
        self.free.set(page + mapped, count - mapped)
        if not mapped:
            return
        if sleepable:
            self.free.set(page, mapped)
        else:
            self.pte.update(dict.fromkeys(range(page, page + mapped), _REAL))

    # ---- free: arena_free_pages(), arena_free_worker() ----

    def clamp(self, page: int, count: int) -> int:
        """How many of the pages a free reaches: it stops at the end of the user range."""
        return max(0, min(count, (self.limit or 0) - page))

    def release(self, page: int, count: int) -> None:
        """Pages inside the user range are freed, now."""
        pte = self.pte
        if not self.complete:
            self._release_unknown(page, count)
        elif count == 1:
            state = pte.pop(page, _NONE)
            if state is _REAL:
                self.free.give(page, 1)
            else:
                self._release_strays(page, [state])
        else:
            states = [pte.pop(one, _NONE) for one in range(page, page + count)]
            if states.count(_REAL) == count:
                # a mapped page is never in the free set
                self.free.give(page, count)
            else:
                self._release_strays(page, states)
        if not self.ordered and page == 0 and count == self.max_entries:
            self._all_free(count)

    def _release_strays(self, page: int, states: list[Pte]) -> None:
        """Free pages that were in ``states``, not all of them mapped."""
        self.stray_frees += 1
        self.free.set(page, len(states))
        if not self.profile.free_clears_scratch and _SCRATCH in states:
            for ahead, state in enumerate(states):
                if state is _SCRATCH:
                    self.pte[page + ahead] = _SCRATCH
        self._settle(page, len(states))

    def _release_unknown(self, page: int, count: int) -> None:
        """Free pages of an arena of which not everything is known."""
        pte, empty = self.pte, self.empty
        sure = self.profile.free_clears_scratch or self.touch != Touch.SCRATCH
        self.free.set(page, count)
        for one in range(page, page + count):
            old = pte.get(one, _UNKNOWN)
            if sure or old is _REAL:
                pte[one] = empty
            elif old is not _SCRATCH:
                # it may have been scratched before anyone looked
                pte[one] = _UNKNOWN
        self._settle(page, count)

    def _all_free(self, count: int) -> None:
        """One range is left: nothing about the free set is open any more."""
        self.free.clear(0, count)
        self.free.give(0, count)
        self.ordered = self.queue_known
        if not self.complete and self.profile.free_clears_scratch:
            self.complete = self.queue_known

    def defer(self, page: int, count: int) -> None:
        """The free is queued for the worker; until then the pages stay as they are."""
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
        self.free.clear(page, count)
        self._settle(page, count)
        if not self.complete:
            self.held.update(range(page, page + count))

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

    def scratch(self, page: int) -> None:
        """The scratch page was put into the entry."""
        self.pte[page] = _SCRATCH

    # ---- settling and doubting ----

    def _settle(self, page: int, count: int) -> None:
        if self.unsure:
            self.unsure.difference_update(range(page, page + count))
        if self.held:
            self.held.difference_update(range(page, page + count))

    def doubt(self, pages: Iterable[int]) -> None:
        """The trace contradicts what is known of the pages: nothing is known of them now."""
        for page in pages:
            if self.limit is None or page < self.limit:
                self.free.clear(page, 1)
                self.unsure.add(page)
                self.held.discard(page)
            self.pte[page] = _UNKNOWN
        self.ordered = False
