"""Fast path of a replay: the common events, inlined into one loop.

The loop applies common events without a method call or a new object. ``Checker.check`` takes
all other events and is the definition of every result.

``release`` and ``take`` inline Arena.release() and RangeTree.clear() by hand, and the branch
for ALLOC_ANYWHERE inlines RangeTree.find(). A change there needs the same change here;
tests/unit/model/test_fast_path.py compares the complete state of both on random traces.
"""

from __future__ import annotations

from itertools import islice
from operator import length_hint

from arenatrace.model.kernel.profiles import BPF_F_SEGV_ON_FAULT, Touch
from arenatrace.model.kernel.pte import Pte
from arenatrace.model.kernel.range_tree import FREE, LARGE, TAKEN
from arenatrace.model.ops import (
    ALLOC_ANYWHERE,
    ALLOC_AT,
    BAD_NODE,
    DRAIN,
    FIXED,
    FREE_LATER,
    FREE_NOW,
    KIND,
    MISALIGNED,
    NO_PAGE,
    PROG_LOAD,
    PROG_STORE,
    REFUSED,
    REFUSED_AT,
    RESERVE_BUSY,
    RESERVE_OUTSIDE,
    RESERVED,
    SCRATCHED,
    SLEEPABLE,
    USER_MAPPED,
    USER_SIGSEGV,
    Segment,
)
from arenatrace.model.replay.checker import Checker
from arenatrace.schema import Kind, ProfileName

#: Slices below this length, in pages, are prepared.
_LONGEST = 65
#: Below any page count.
_NO_RANGE = -2


def _runs(state: int) -> list[bytearray]:
    """Return constant slices of pages in ``state``, by length.

    Slice assignment from a bytearray is twice as fast as from bytes.
    """
    return [bytearray([state]) * count for count in range(_LONGEST)]


_FREE, _TAKEN = _runs(FREE), _runs(TAKEN)
_STATES = {int(state): _runs(state) for state in Pte}
_REAL = _STATES[Pte.REAL]

_REFUSED = frozenset({REFUSED, REFUSED | SLEEPABLE})
_REFUSED_AT = frozenset({REFUSED_AT, REFUSED_AT | SLEEPABLE})
_RESERVES = frozenset({RESERVED, RESERVE_BUSY, RESERVE_OUTSIDE})
_PROG = frozenset({PROG_LOAD, PROG_STORE})
#: Refused because of an argument, in any state of the arena.
_INVALID_REQUESTS = frozenset(
    {
        *(op | MISALIGNED for op in _REFUSED_AT),
        *(op | BAD_NODE for op in _REFUSED | _REFUSED_AT),
        *(op | MISALIGNED | BAD_NODE for op in _REFUSED_AT),
    }
)
#: Kinds after which the loop must load its local variables again.
_RELOAD_KINDS = frozenset(
    {int(k) for k in (Kind.ARENA_CREATE, Kind.ARENA_MMAP, Kind.ARENA_DESTROY, Kind.LOST)}
)


def run(checker: Checker, segment: Segment, start: int) -> int:
    """Replay from position ``start`` to the first contradiction or the end; return its position."""
    at = start
    while at < len(segment.op):
        at = _run_fast(checker, segment, at)
        if at < len(segment.op):
            if checker.check(at) is not None:
                return at
            at += 1
    return at


def _run_fast(checker: Checker, segment: Segment, start: int) -> int:  # noqa: C901 -- the hot loop
    """``run`` up to a contradiction or a kind of _RELOAD_KINDS; return its position."""
    arena, check, reload_kinds = checker.arena, checker.check, _RELOAD_KINDS
    tree, pte, queue = arena.free, arena.pte, arena.queue
    taken, size_at, buckets, small = tree.taken, tree.size_at, tree.buckets, tree.small
    none, real, scratch = int(Pte.NONE), int(Pte.REAL), int(Pte.SCRATCH)
    empty, range_size, pte_starts = int(arena.empty), size_at.get, pte.startswith
    smallest, insert, remove, large = tree.smallest, tree.insert, tree.remove, tree.large
    empty_slices = _STATES[empty]
    # A free leaves no scratch page, and all pages are known while the order is known.
    wipes = arena.freed[scratch] == empty
    limit, ordered, predictable, fills, scratches = _conditions(checker)
    top = len(pte)
    total, checked, predicted = len(segment.op), 0, 0

    def swallow(page: int, end: int) -> int:
        """Remove the ranges that begin in the pages.

        Return the end of the last range, at least ``end``. If all pages are free, change
        nothing and return 0.
        """
        inside = taken.find(TAKEN, page, end)
        if inside < 0:
            return 0
        # Free pages before that belong to the range on the left, unless a range begins here.
        inside = taken.find(FREE, page if page in size_at else inside, end)
        past = end
        while inside >= 0:
            past = inside + remove(inside)
            inside = taken.find(FREE, past, end)
        return max(past, end)

    def release(page: int, count: int) -> None:
        """Arena.release() of pages below ``top``, inlined; the order of the set is known."""
        end = past = page + count
        if count == 1 and pte[page] == real:
            pte[page] = empty
            taken[page] = FREE
        else:
            if not pte_starts(_REAL[count], page):
                if not wipes:
                    arena.release(page, count)
                    return
                arena.stray_frees += 1
                # range_tree_set() leaves a range that is already set unchanged.
                past = swallow(page, end)
                if not past:
                    pte[page:end] = empty_slices[count]
                    return
            pte[page:end] = empty_slices[count]
            taken[page:end] = _FREE[count]
            end = past
        if page and not taken[page - 1]:
            page = taken.rfind(TAKEN, 0, page) + 1
            remove(page)
        if end in size_at:
            end += remove(end)
        size = end - page
        size_at[page] = size
        if size in buckets:
            buckets[size][page] = None
        elif size < LARGE:
            buckets[size] = {page: None}
            small[size] = 1
        else:
            insert(page, size)

    def take(page: int, end: int) -> None:
        """RangeTree.clear() of pages that are all in the set, inlined."""
        first = page if page in size_at else taken.rfind(TAKEN, 0, page) + 1
        past = first + remove(first)
        if first < page:
            insert(first, page - first)
        if end < past:
            insert(end, past - end)
        taken[page:end] = b"\1" * (end - page)

    left = iter(segment.op)
    rows = zip(left, segment.page, segment.pages, strict=True)
    for op, page, count in islice(rows, start, None) if start else rows:
        if op == ALLOC_ANYWHERE:
            size = range_size(page, _NO_RANGE)
            # range_tree_find(): the smallest size that fits, ...
            fits = size == count or (
                size > count > 0
                and (small.find(1, count, size) < 0 if size < LARGE else smallest(count) == size)
            )
            if fits and predictable and count < _LONGEST:
                # ... and among ranges of that size the one inserted last
                bucket = buckets[size]
                latest, _ = bucket.popitem()
                if latest != page:
                    bucket[latest] = None
                else:
                    del size_at[page]
                    if not bucket:
                        del buckets[size]
                        if size < LARGE:
                            small[size] = 0
                        else:
                            large.remove(size)
                    end = page + count
                    if size != count:
                        size -= count
                        size_at[end] = size
                        if size in buckets:
                            buckets[size][end] = None
                        elif size < LARGE:
                            buckets[size] = {end: None}
                            small[size] = 1
                        else:
                            insert(end, size)
                    if end > top:
                        arena.reach(end)
                        top = len(pte)
                    if count == 1:
                        taken[page] = TAKEN
                        pte[page] = real
                    else:
                        taken[page:end] = _TAKEN[count]
                        pte[page:end] = _REAL[count]
                    predicted += 1
                    continue
        elif op == FREE_NOW:
            if ordered and page >= 0 and 0 < count < _LONGEST and page + count <= top:
                release(page, count)
                continue
        elif op == FREE_LATER:
            if limit and page >= 0 and count > 0 and page + count <= top:
                queue.append((page, count))
                continue
        elif op == DRAIN:
            if ordered and arena.queue_known:
                for page, count in reversed(queue):
                    if count < _LONGEST:
                        release(page, count)
                    else:
                        arena.release(page, count)
                queue.clear()
                continue
        elif op == USER_MAPPED:
            if limit and 0 <= page < top:
                state = pte[page]
                if state == real:
                    continue
                if state == none and fills and ordered:
                    if taken[page] == FREE:
                        take(page, page + 1)
                    pte[page] = real
                    continue
        elif op == SCRATCHED:
            if scratches and 0 <= page < top and pte[page] == none:
                pte[page] = scratch
                if not checker.scratch_seen:
                    checker.scratch_seen = True
                    predictable = _conditions(checker)[2]
                continue
        elif op in _PROG:
            if limit and 0 <= page < top and pte[page] == none:
                continue
        elif op in _REFUSED_AT:
            if predictable and page >= 0 and count > 0:
                end = page + count
                if end > limit or taken.find(TAKEN, page, end) >= 0:
                    continue
        elif op == ALLOC_AT:
            end = page + count
            if predictable and count > 0 <= page and end <= limit:
                if end > top:
                    arena.reach(end)
                    top = len(pte)
                if taken.find(TAKEN, page, end) < 0:
                    take(page, end)
                    pte[page:end] = bytes([real]) * count
                    predicted += 1
                    continue
        elif op in _RESERVES:
            if ordered and page >= 0 and count > 0:
                end = page + count
                if end > limit:
                    matches = op == RESERVE_OUTSIDE
                elif taken.find(TAKEN, page, end) >= 0:
                    matches = op == RESERVE_BUSY
                else:
                    matches = op == RESERVED
                    if matches:
                        if end > top:
                            arena.reach(end)
                            top = len(pte)
                        take(page, end)
                if matches:
                    continue
        elif op == USER_SIGSEGV:
            if limit and 0 <= page < top:
                state = pte[page]
                if state == scratch or (not fills and state in (none, empty)):
                    continue
        elif op in _REFUSED:
            if (
                predictable
                and page == NO_PAGE
                and (count > limit or (count > 0 and tree.find(count) < 0))
            ):
                continue
        elif (
            op in _INVALID_REQUESTS
            and limit
            and count > 0
            and page >= (0 if op & FIXED else NO_PAGE)
        ):
            continue
        at = total - length_hint(left) - 1
        if op & KIND in reload_kinds or check(at) is not None:
            break
        checked += 1
        limit, ordered, predictable, fills, scratches = _conditions(checker)
        top = len(pte)
    else:
        at = total
    done = at - start - checked
    checker.tally.events += done
    checker.tally.predicted_addresses += predicted
    return at


def _conditions(checker: Checker) -> tuple[int, bool, bool, bool, bool]:
    """Return the conditions of the fast path: (limit, ordered, predictable, fills, scratches).

    ``limit``: pages of the user range, 0 while it is not fixed. ``ordered``: the order of the
    free ranges is known. ``predictable``: it predicts allocations, and no proof of a profile
    can be missed. ``fills``: a user fault maps an empty page. ``scratches``: a kernel-side
    fault installs a scratch page.
    """
    arena = checker.arena
    if not checker.alive or arena.limit is None or arena.profile.maple:
        return 0, False, False, False, False
    ordered = arena.free.ordered
    # Before the first proof that scratch is replaced, the checker must see each allocation.
    proven = arena.profile.alloc_replaces_scratch and ProfileName.SCRATCH_REPLACE in checker.proofs
    predictable = ordered and (proven or not checker.scratch_seen)
    fills = not arena.map_flags & BPF_F_SEGV_ON_FAULT
    return arena.limit, ordered, predictable, fills, arena.touch == Touch.SCRATCH
