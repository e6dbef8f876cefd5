"""Check each event against the state of its arena.

An event that the state allows takes effect in the model. An event that it excludes gives a
Contradiction and changes nothing: the caller may try another order of events, or ``adopt`` the
event as a divergence.

Some refusals have causes that leave no event (no memory, a lock that was not acquired). They
are counted as unexplained and are no contradictions.
"""

from __future__ import annotations

from collections.abc import Callable

from arenatrace.model.kernel.arena import RECOVERY_PAGES
from arenatrace.model.ops import FIXED, KIND, LOSSY, NO_PAGE, OK
from arenatrace.model.replay import allocation, faults, freeing, lifetime
from arenatrace.model.replay.contradiction import Contradiction
from arenatrace.model.replay.state import State
from arenatrace.schema import Kind

Handler = Callable[[State, int, int, int, int], Contradiction | None]


class Checker(State):
    """Checks the events of one arena against its state."""

    def copy(self) -> Checker:
        """Return an independent copy that checks the same segment."""
        other = Checker(self.arena.copy(), alive=self.alive)
        self.copy_to(other)
        return other

    def check(self, at: int) -> Contradiction | None:
        """Check the event at position ``at`` of the segment, and apply it if it is allowed."""
        segment = self.segment
        assert segment is not None  # noqa: S101 -- set before any check
        op = segment.op[at]
        kind = op & KIND
        if op & LOSSY:
            self._lossy(kind, op, at)
            return None
        if not self.alive and kind not in _AFTER_DESTROY:
            return Contradiction(
                "no event", Kind(kind).label, "the arena was destroyed before this event"
            )
        handler = _HANDLERS[kind]
        if handler is None:
            return None
        found = handler(self, op, segment.page[at], segment.pages[at], at)
        if found is None and kind != Kind.LOST:
            self.tally.events += 1
        return found

    def _lossy(self, kind: int, op: int, at: int) -> None:
        """Apply an event from a stretch with missing events: all state becomes unknown."""
        if kind in _LIFE:
            _BY_KIND[Kind(kind)](self, op, NO_PAGE, 0, at)
        self.arena.forget()
        if kind != Kind.LOST:
            self.tally.events += 1
            self.tally.unknown += 1

    # ---- after a divergence ----

    def excuse(self, at: int) -> None:
        """Apply the event at ``at``, whose contradiction is excusable."""
        self.lenient = True
        self.check(at)
        self.lenient = False

    def adopt(self, at: int, *, settled: bool = True) -> None:
        """Count the event at ``at`` as divergent and make the state of its pages unknown.

        If not ``settled``, no order of overlapping events was found: the event counts as
        unsettled and all state becomes unknown.
        """
        segment = self.segment
        if segment is None:
            return
        op, page, count = segment.op[at], segment.page[at], segment.pages[at]
        self.tally.events += 1
        if settled:
            self.tally.divergences += 1
        else:
            # An earlier wrong order without a contradiction may concern any page.
            self.tally.unsettled += 1
            self.tally.unknown += 1
            self.arena.forget()
        arena = self.arena
        kind = op & KIND
        if page < 0 or page >= RECOVERY_PAGES or not self.alive:
            return
        if kind == Kind.PAGE_ALLOC and op & OK:
            if arena.free.ordered and not op & FIXED and count > 0:
                # The model predicted these pages and the kernel chose others: the model may be
                # wrong about both.
                expected = arena.free.find(count)
                if expected >= 0:
                    arena.mark_unknown(expected, count)
            arena.mark_unknown(page, count)
        elif kind == Kind.PAGE_RESERVE:
            arena.mark_unknown(page, count)
        elif kind in (Kind.USER_FAULT, Kind.KERNEL_FAULT, Kind.PROG_FAULT):
            arena.mark_unknown(page, 1)


_AFTER_DESTROY = (Kind.FREE_DRAIN, Kind.ARENA_CREATE, Kind.LOST)

_BY_KIND: dict[int, Handler] = {
    Kind.ARENA_CREATE: lifetime.arena_create,
    Kind.ARENA_MMAP: lifetime.arena_mmap,
    Kind.ARENA_DESTROY: lifetime.arena_destroy,
    Kind.PAGE_ALLOC: allocation.page_alloc,
    Kind.PAGE_FREE: freeing.page_free,
    Kind.FREE_DRAIN: freeing.free_drain,
    Kind.PAGE_RESERVE: freeing.page_reserve,
    Kind.USER_FAULT: faults.user_fault,
    Kind.KERNEL_FAULT: faults.kernel_fault,
    Kind.PROG_FAULT: faults.prog_fault,
    Kind.LOST: lifetime.lost,
}
_LIFE = (Kind.ARENA_CREATE, Kind.ARENA_MMAP, Kind.ARENA_DESTROY)
_HANDLERS = [_BY_KIND.get(kind) for kind in range(KIND + 1)]
