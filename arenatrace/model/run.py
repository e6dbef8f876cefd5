"""Judging many events at speed.

What most traces are made of has its effect written out here, in its plainest form only: no
method is called and no object made for it. Everything else goes through ``Judge.judge``, whose
answer is the definition; the tests hold the one against the other.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from itertools import islice

from arenatrace.model.judge import Judge
from arenatrace.model.ops import (
    ALLOC_ANYWHERE,
    ALLOC_AT,
    DRAIN,
    FREE_LATER,
    FREE_NOW,
    KIND,
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
from arenatrace.model.profiles import BPF_F_SEGV_ON_FAULT, Touch
from arenatrace.model.pte import Pte
from arenatrace.model.range_tree import FREE, TAKEN
from arenatrace.schema import Kind

_LONGEST = 65


def _runs(state: int) -> list[bytearray]:
    """Runs of pages in ``state`` by their length, never changed.

    A slice is assigned in one step, from a bytearray twice as fast as from bytes.
    """
    return [bytearray([state]) * count for count in range(_LONGEST)]


_FREE, _TAKEN = _runs(FREE), _runs(TAKEN)
_STATES = {int(state): _runs(state) for state in Pte}
_REAL = _STATES[Pte.REAL]

_REFUSED = frozenset({REFUSED, REFUSED | SLEEPABLE})
_REFUSED_AT = frozenset({REFUSED_AT, REFUSED_AT | SLEEPABLE})
_RESERVES = frozenset({RESERVED, RESERVE_BUSY, RESERVE_OUTSIDE})
_PROG = frozenset({PROG_LOAD, PROG_STORE})
#: Kinds after which the loop must look anew at what it works on.
_TURNING = frozenset(
    {int(k) for k in (Kind.ARENA_CREATE, Kind.ARENA_MMAP, Kind.ARENA_DESTROY, Kind.LOST)}
)


def run(judge: Judge, segment: Segment, start: int) -> int:
    """Replay from position ``start``; the position of the first contradiction, or the end."""
    at = start
    while at < len(segment.op):
        at = _run_plain(judge, segment, at)
        if at < len(segment.op):
            if judge.judge(at) is not None:
                return at
            at += 1
    return at


def _run_plain(judge: Judge, segment: Segment, start: int) -> int:  # noqa: C901 -- the hot loop
    """``run`` up to a turning point or a contradiction, whose position is returned."""
    arena, slow, turning = judge.arena, judge.judge, _TURNING
    tree, pte, queue = arena.free, arena.pte, arena.queue
    taken, size_at, buckets, sizes = tree.taken, tree.size_at, tree.buckets, tree.sizes
    none, real, scratch = int(Pte.NONE), int(Pte.REAL), int(Pte.SCRATCH)
    empty, has = int(arena.empty), size_at.get
    emptied = _STATES[empty]
    # a free leaves nothing behind, and with the order of the free set all pages are known
    wipes = arena.freed[scratch] == empty
    limit, ordered, predictable, fills, scratches = _terms(judge)
    top = len(pte)
    done = predicted = 0

    def release(page: int, count: int) -> None:
        """``Arena.release`` of pages in the user range, where the order of the set is known."""
        nonlocal top
        end = page + count
        if end > top or count >= _LONGEST:
            arena.release(page, count)
            top = len(pte)
            return
        if count == 1 and pte[page] == real:
            pte[page] = empty
            taken[page] = 0
        elif pte[page:end] == _REAL[count]:
            pte[page:end] = emptied[count]
            taken[page:end] = _FREE[count]
        elif wipes:
            arena.stray_frees += 1
            pte[page:end] = emptied[count]
            # range_tree_set() leaves alone what is set already
            if taken.find(TAKEN, page, end) >= 0:
                tree.set(page, count)
            return
        else:
            arena.release(page, count)
            return
        if page and not taken[page - 1]:
            page = taken.rfind(TAKEN, 0, page) + 1
            del size_at[page]
        if end in size_at:
            end += size_at.pop(end)
        size = end - page
        size_at[page] = size
        same = buckets.get(size)
        if same:
            same.append(page)
        else:
            buckets[size] = [page]
            insort(sizes, size)

    at = start - 1
    rows = zip(segment.op, segment.page, segment.pages, strict=True)
    for op, page, count in islice(rows, start, None):
        at += 1
        if op == ALLOC_ANYWHERE:
            if predictable and 0 < count < _LONGEST:
                # range_tree_find(): the topmost living entry of the smallest size that fits
                index = bisect_left(sizes, count) if count != 1 else 0
                fits = False
                while index < len(sizes):
                    size = sizes[index]
                    bucket = buckets[size]
                    first = bucket[-1]
                    if has(first) == size:
                        fits = first == page
                        break
                    bucket.pop()
                    if not bucket:
                        del sizes[index]
                if fits:
                    bucket.pop()
                    if not bucket:
                        del sizes[index]
                    del size_at[page]
                    end = page + count
                    if size != count:
                        size -= count
                        size_at[end] = size
                        same = buckets.get(size)
                        if same:
                            same.append(end)
                        else:
                            buckets[size] = [end]
                            insort(sizes, size)
                    if end > top:
                        arena.reach(end)
                        top = len(pte)
                    if count == 1:
                        taken[page] = 1
                        pte[page] = real
                    else:
                        taken[page:end] = _TAKEN[count]
                        pte[page:end] = _REAL[count]
                    predicted += 1
                    continue
        elif op == FREE_NOW:
            if ordered and 0 <= page < limit and count > 0:
                release(page, count if page + count <= limit else limit - page)
                done += 1
                continue
        elif op == DRAIN:
            if ordered and arena.queue_known:
                for first, many in reversed(queue):
                    release(first, many)
                queue.clear()
                done += 1
                continue
        elif op == FREE_LATER:
            if 0 <= page < limit and count > 0:
                queue.append((page, min(count, limit - page)))
                done += 1
                continue
        elif op == ALLOC_AT:
            end = page + count
            if predictable and count > 0 <= page and end <= limit:
                if end > top:
                    arena.reach(end)
                    top = len(pte)
                if taken.find(TAKEN, page, end) < 0:
                    arena.allocate(page, count)
                    predicted += 1
                    continue
        elif op == USER_MAPPED:
            if fills and 0 <= page < top and pte[page] <= real:
                if pte[page] == none:
                    arena.allocate(page, 1)
                done += 1
                continue
        elif op in _PROG:
            if 0 <= page < top and pte[page] == none:
                done += 1
                continue
        elif op == USER_SIGSEGV:
            if limit and 0 <= page < top:
                state = pte[page]
                if state == scratch or (not fills and state in (none, empty)):
                    done += 1
                    continue
        elif op in _REFUSED_AT:
            if predictable and page >= 0 and count > 0:
                end = page + count
                if end > limit or taken.find(TAKEN, page, end) >= 0:
                    done += 1
                    continue
        elif op in _REFUSED:
            if predictable and (count > limit or (count > 0 and tree.find(count) < 0)):
                done += 1
                continue
        elif op in _RESERVES:
            if ordered and page >= 0 and count > 0:
                end = page + count
                if end > limit:
                    plain = op == RESERVE_OUTSIDE
                elif taken.find(TAKEN, page, end) >= 0:
                    plain = op == RESERVE_BUSY
                else:
                    plain = op == RESERVED
                    if plain:
                        arena.reserve(page, count)
                        top = len(pte)
                if plain:
                    done += 1
                    continue
        elif op == SCRATCHED:
            if scratches and 0 <= page < top and pte[page] == none:
                pte[page] = scratch
                judge.scratch_seen = True
                predictable = _terms(judge)[2]
                done += 1
                continue
        elif op & KIND in turning:
            break
        if slow(at) is not None:
            break
        limit, ordered, predictable, fills, scratches = _terms(judge)
        top = len(pte)
    else:
        at += 1
    tree.pushed += done + predicted
    tree.tidy()
    judge.tally.events += done + predicted
    judge.tally.predicted_addresses += predicted
    return at


def _terms(judge: Judge) -> tuple[int, bool, bool, bool, bool]:
    """What the plain forms rest on.

    Pages of the user range, 0 while that is open. Whether the order of the free ranges is
    known, the place of an allocation follows from it with nothing to learn, a user fault fills
    an empty page, a kernel fault scratches one.
    """
    arena = judge.arena
    if not judge.alive or arena.limit is None or arena.profile.maple:
        return 0, False, False, False, False
    ordered = arena.free.ordered
    # until it has been shown once that scratch is replaced, it is worth looking
    settled = arena.profile.alloc_replaces_scratch and "scratch-replace" in judge.proofs
    predictable = ordered and (settled or not judge.scratch_seen)
    fills = not arena.map_flags & BPF_F_SEGV_ON_FAULT
    return arena.limit, ordered, predictable, fills, arena.touch == Touch.SCRATCH
