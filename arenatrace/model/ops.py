"""Compact encoding of an event: an op code, a page and a page count.

``encode`` defines the encoding of one event. ``arenatrace.replay.encode`` applies the same
rules to whole batches of the table ``events``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from arenatrace.model.kernel.arena import BAND_PAGES, RECOVERY_PAGES
from arenatrace.model.kernel.nodes import UNKNOWN_NODES, Nodes, NodeStatus
from arenatrace.schema import PAGE_SIZE, Kind, Outcome

#: Bits of an op. The low four are the Kind.
KIND = 0xF
SLEEPABLE = 1 << 4
#: page_alloc: pages were allocated; page_reserve, arena_mmap: returned 0.
OK = 1 << 5
#: page_alloc: the caller requested an address.
FIXED = 1 << 6
WRITE = 1 << 7
#: page_alloc, page_reserve: the requested address is not page-aligned.
MISALIGNED = 1 << 8
#: Faults: the Outcome; page_reserve: one of EINVAL, EBUSY, OTHER_ERRNO.
RESULT_SHIFT = 9
RESULT = 0xF
#: kernel_fault: the blamed program has the touched arena, or another arena.
BLAME_OWN = 1 << 13
BLAME_OTHER = 1 << 14
#: Recorded in a stretch with missing events.
LOSSY = 1 << 15
#: page_alloc: the requested NUMA node is impossible, or may have been offline.
BAD_NODE = 1 << 16
UNSURE_NODE = 1 << 17

#: Special pages: not recorded; contradicted by the address; a kernel fault in an arena whose
#: addresses are unknown.
NO_PAGE = -1
BAD_PAGE = -2
UNPLACED = -3

#: Codes of a failed page_reserve.
EINVAL, EBUSY, OTHER_ERRNO = 1, 2, 3
_ERRNO = {-22: EINVAL, -16: EBUSY}

ALLOC_ANYWHERE = int(Kind.PAGE_ALLOC) | OK
FREE_NOW = int(Kind.PAGE_FREE) | SLEEPABLE
FREE_LATER = int(Kind.PAGE_FREE)
DRAIN = int(Kind.FREE_DRAIN)
ALLOC_AT = ALLOC_ANYWHERE | FIXED
REFUSED, REFUSED_AT = int(Kind.PAGE_ALLOC), int(Kind.PAGE_ALLOC) | FIXED
RESERVED = int(Kind.PAGE_RESERVE) | OK
RESERVE_BUSY = int(Kind.PAGE_RESERVE) | EBUSY << RESULT_SHIFT
RESERVE_OUTSIDE = int(Kind.PAGE_RESERVE) | EINVAL << RESULT_SHIFT
USER_MAPPED = int(Kind.USER_FAULT) | int(Outcome.MAPPED) << RESULT_SHIFT
USER_SIGSEGV = int(Kind.USER_FAULT) | int(Outcome.SIGSEGV) << RESULT_SHIFT
SCRATCHED = int(Kind.KERNEL_FAULT) | BLAME_OWN | int(Outcome.SCRATCH_INSTALLED) << RESULT_SHIFT
PROG_LOAD = int(Kind.PROG_FAULT) | int(Outcome.ZEROED) << RESULT_SHIFT
PROG_STORE = int(Kind.PROG_FAULT) | WRITE | int(Outcome.IGNORED) << RESULT_SHIFT

#: Kinds that change the state of an arena or depend on it. Replay skips all others.
REPLAYED_KINDS = frozenset(
    {
        *(Kind.ARENA_CREATE, Kind.ARENA_MMAP, Kind.ARENA_DESTROY),
        *(Kind.PAGE_ALLOC, Kind.PAGE_FREE, Kind.FREE_DRAIN, Kind.PAGE_RESERVE),
        *(Kind.USER_FAULT, Kind.KERNEL_FAULT, Kind.PROG_FAULT, Kind.LOST),
    }
)
#: Kinds recorded at function entry: the effect comes after the timestamp.
ENTRY_KINDS = frozenset({Kind.PAGE_FREE, Kind.FREE_DRAIN, Kind.ARENA_DESTROY})
#: Kinds that no event is reordered around.
FIXED_KINDS = frozenset({Kind.ARENA_CREATE, Kind.ARENA_MMAP, Kind.ARENA_DESTROY, Kind.LOST})

_LOW32 = 0xFFFFFFFF
_SHIFT = PAGE_SIZE.bit_length() - 1


class Segment(NamedTuple):
    """Consecutive events of one arena, by column. ``op``, ``page`` and ``pages`` are lists."""

    ts_ns: Sequence[int]
    seq: Sequence[int]
    tid: Sequence[int]
    op: list[int]
    page: list[int]
    pages: list[int]

    def part(self, start: int, end: int) -> Segment:
        """Return the events from position ``start`` up to ``end``."""
        return Segment(
            self.ts_ns[start:end],
            self.seq[start:end],
            self.tid[start:end],
            self.op[start:end],
            self.page[start:end],
            self.pages[start:end],
        )

    def concat(self, other: Segment) -> Segment:
        """Return this segment followed by ``other``."""
        return Segment(
            [*self.ts_ns, *other.ts_ns],
            [*self.seq, *other.seq],
            [*self.tid, *other.tid],
            self.op + other.op,
            self.page + other.page,
            self.pages + other.pages,
        )


EMPTY = Segment([], [], [], [], [], [])


@dataclass(frozen=True)
class ArenaInfo:
    """One row of the table ``arenas``. An unknown address is None; ``max_entries`` is in pages."""

    arena: int
    max_entries: int
    map_flags: int = 0
    kern_vm_start: int | None = None
    user_vm_start: int | None = None
    #: The arena was created during the recording: the trace has its whole history.
    fresh: bool = True
    nodes: Nodes = UNKNOWN_NODES


def pgoff_of(info: ArenaInfo, uaddr: int) -> int:
    """Return the page of a user address (compute_pgoff()); NO_PAGE without a user range."""
    if not info.user_vm_start:
        return NO_PAGE
    return ((uaddr - info.user_vm_start) & _LOW32) >> _SHIFT


def fault_page(info: ArenaInfo, kaddr: int) -> int:
    """Return the page of a kernel address; NO_PAGE outside the range of fault recovery."""
    if info.kern_vm_start is None or not info.user_vm_start:
        return NO_PAGE
    offset = kaddr - info.kern_vm_start
    page = offset >> _SHIFT
    if page < 0 or page >= RECOVERY_PAGES:
        return NO_PAGE
    if page >= BAND_PAGES:
        return page
    return pgoff_of(info, offset)


def encode(  # noqa: C901 -- one branch for each kind
    info: ArenaInfo,
    kind: Kind,
    *,
    pgoff: int | None = None,
    pages: int | None = None,
    addr: int | None = None,
    ret: int | None = None,
    write: bool | None = None,
    sleepable: bool | None = None,
    outcome: Outcome | None = None,
    prog_arena: int | None = None,
    node: int | None = None,
) -> tuple[int, int, int]:
    """Return (op, page, pages) of one event.

    ``prog_arena`` is the arena of the blamed program; the other arguments are columns of the
    table ``events``.
    """
    op = int(kind)
    page = NO_PAGE if pgoff is None else pgoff if pgoff < BAND_PAGES else BAD_PAGE
    count = -1 if pages is None else pages
    if kind == Kind.PAGE_ALLOC:
        if addr:
            op |= FIXED | (MISALIGNED if addr % PAGE_SIZE else 0)
        if ret:
            op |= OK
        elif sleepable:
            op |= SLEEPABLE
        known = info.nodes.classify(node)
        if known == NodeStatus.IMPOSSIBLE:
            op |= BAD_NODE
        elif known == NodeStatus.UNKNOWN and not ret:
            op |= UNSURE_NODE
        page = _alloc_page(info, page, addr or 0, ret or 0)
    elif kind in (Kind.PAGE_FREE, Kind.PAGE_RESERVE, Kind.USER_FAULT):
        if addr is not None and info.user_vm_start:
            page = _agreed(page, pgoff_of(info, addr))
        if kind == Kind.PAGE_FREE:
            op |= SLEEPABLE if sleepable else 0
        elif kind == Kind.PAGE_RESERVE:
            op |= MISALIGNED if addr is not None and addr % PAGE_SIZE else 0
            op |= _ERRNO.get(ret, OTHER_ERRNO) << RESULT_SHIFT if ret else OK
        else:
            op |= int(outcome or 0) << RESULT_SHIFT
    elif kind in (Kind.KERNEL_FAULT, Kind.PROG_FAULT):
        if addr is not None and info.kern_vm_start is not None and info.user_vm_start:
            page = _agreed(page, fault_page(info, addr))
        elif kind == Kind.KERNEL_FAULT and page == NO_PAGE:
            page = UNPLACED
        op |= int(outcome or 0) << RESULT_SHIFT
        if kind == Kind.PROG_FAULT:
            op |= WRITE if write else 0
        elif prog_arena is not None:
            op |= BLAME_OWN if prog_arena == info.arena else BLAME_OTHER
    elif kind == Kind.ARENA_MMAP:
        op |= 0 if ret else OK
    return op, page, count


def _agreed(stated: int, computed: int) -> int:
    """Return the page computed from the address; BAD_PAGE if the trace states another one."""
    return computed if stated in (NO_PAGE, computed) else BAD_PAGE


def _alloc_page(info: ArenaInfo, stated: int, addr: int, ret: int) -> int:
    """Return the page of an allocation that requested ``addr`` and returned ``ret``."""
    base = info.user_vm_start
    if not base:
        return stated
    if ret:
        page = pgoff_of(info, ret)
        if ret != base + page * PAGE_SIZE or (addr and pgoff_of(info, addr) != page):
            return BAD_PAGE
        return _agreed(stated, page)
    if addr:
        return _agreed(stated, pgoff_of(info, addr))
    return stated
