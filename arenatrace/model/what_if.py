"""The same requests on another generation of the kernel: what would have gone otherwise.

Two arenas run side by side. One follows the trace, the other does what its own generation does
with the same requests: the same counts, wishes, frees and touches. An address that the other
one chose differently is followed, so that a later free or touch of the recorded page is taken
to mean the page that stands in for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from arenatrace.model.kernel.arena import BAND_PAGES, RECOVERY_PAGES, Arena, Refusal
from arenatrace.model.kernel.profiles import BPF_F_ARENA_MAP_ALWAYS, PROFILES, Profile, Touch
from arenatrace.model.kernel.pte import Pte
from arenatrace.model.ops import (
    BAD_NODE,
    FIXED,
    KIND,
    MISALIGNED,
    OK,
    RESULT_SHIFT,
    SLEEPABLE,
    ArenaInfo,
    Segment,
)
from arenatrace.schema import Kind, Outcome

#: Differences kept in full for each trace.
MAX_LISTED = 10_000


@dataclass(frozen=True)
class Difference:
    """One event that would have gone otherwise."""

    seq: int
    kind: str
    arena: int
    recorded: str
    would_be: str
    explanation: str


@dataclass
class WhatIf:
    """What ``profile`` would have done with the requests of a trace of ``instead_of``."""

    profile: str
    instead_of: str
    events: int = 0
    count: int = 0
    #: "recorded -> would be" of each sort of difference, and how often.
    kinds: dict[str, int] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)

    def add(self, difference: Difference, sort: str) -> None:
        """Count a difference of this sort; the first ones are kept in full."""
        self.count += 1
        self.kinds[sort] = self.kinds.get(sort, 0) + 1
        if len(self.differences) < MAX_LISTED:
            self.differences.append(difference)

    def to_dict(self) -> dict[str, Any]:
        """The member ``what_if`` of the JSON object."""
        self.differences.sort(key=lambda difference: difference.seq)
        return {
            "profile": self.profile,
            "instead_of": self.instead_of,
            "events": self.events,
            "count": self.count,
            "kinds": self.kinds,
            "differences": [asdict(difference) for difference in self.differences],
        }


_ADDRESS_ONLY = "page_alloc: another address"


class ArenaWhatIf:
    """One arena's requests under ``profile``; differences go into ``into``."""

    def __init__(self, info: ArenaInfo, profile: Profile, into: WhatIf) -> None:
        flags = info.map_flags
        if profile.has_map_always:
            # the question is what the flag would have done
            flags |= BPF_F_ARENA_MAP_ALWAYS
        self._facts = info
        self._into = into
        self._handlers: dict[int, Callable[[int, int, int], _Found]] = {
            Kind.ARENA_CREATE: self._create,
            Kind.PAGE_ALLOC: self._alloc,
            Kind.PAGE_FREE: self._free,
            Kind.FREE_DRAIN: self._drain,
            Kind.PAGE_RESERVE: self._reserve,
            Kind.USER_FAULT: self._user_fault,
            Kind.KERNEL_FAULT: self._kernel_fault,
            Kind.PROG_FAULT: self._prog_fault,
            Kind.LOST: self._lost,
        }
        #: The recorded kernel had scratch pages too: what oopsed had no program to blame.
        was = PROFILES.get(into.instead_of)
        self._oopses_anyway = was is not None and was.empty_touch == Touch.SCRATCH
        self._arena = Arena(profile, info.max_entries, flags, fresh=info.fresh)
        #: recorded page -> page the other kernel gave for it, where they differ
        self._translation: dict[int, int] = {}

    def feed(self, segment: Segment) -> None:
        """Take the requests of ``segment``."""
        for at, op in enumerate(segment.op):
            handler = self._handlers.get(op & KIND)
            if handler is None:
                continue
            page, count = segment.page[at], segment.pages[at]
            self._into.events += 1
            found = handler(op, page, count)
            if found is None:
                continue
            recorded, would_be, why = found
            kind = Kind(op & KIND).label
            sort = (
                _ADDRESS_ONLY
                if recorded.startswith("page") and would_be.startswith("page")
                else f"{kind}: {_sort(recorded)} -> {_sort(would_be)}"
            )
            self._into.add(
                Difference(segment.seq[at], kind, self._facts.arena, recorded, would_be, why), sort
            )

    def _translate(self, page: int) -> int:
        return self._translation.get(page, page)

    def _alloc(self, op: int, page: int, count: int) -> _Found:
        if count <= 0 or op & (MISALIGNED | BAD_NODE) or (page < 0 and op & (FIXED | OK)):
            return None
        arena = self._arena
        requested = page if op & FIXED else None
        place = arena.find_pages(requested, count)
        if place == Refusal.UNKNOWN:
            if op & OK and count <= arena.clamp(page, count):
                arena.allocate(page, count)
            return None
        recorded = f"{_pages(page, count)}" if op & OK else "refused"
        if place >= 0:
            if not op & OK:
                # a refusal for lack of memory would have come all the same
                scratched = arena.scratched(place, count) >= 0
                if not scratched:
                    return None
            arena.allocate(place, count)
            self._follow(page, place, count, given=bool(op & OK))
            if op & OK and place == page:
                return None
            why = (
                "the free set was another one by then"
                if op & OK
                else "scratch is replaced by the allocation instead of refusing it"
            )
            return recorded, _pages(place, count), why
        if place == Refusal.SCRATCHED:
            target = arena.free.find(count) if requested is None else requested
            mapped = arena.scratched(target, count)
            at_once = bool(op & (OK | SLEEPABLE))
            arena.refuse_scratched(target, count, mapped, sleepable=at_once)
        if not op & OK:
            return None
        return recorded, "refused", _WHY_REFUSED.get(place, "no room is left")

    def _follow(self, page: int, place: int, count: int, *, given: bool) -> None:
        if not given:
            return
        for ahead in range(count):
            if place == page:
                self._translation.pop(page + ahead, None)
            else:
                self._translation[page + ahead] = place + ahead

    def _free(self, op: int, page: int, count: int) -> _Found:
        arena = self._arena
        if page < 0 or count <= 0:
            return None
        for first, many in self._runs(page, arena.clamp(page, count)):
            if op & SLEEPABLE:
                arena.release(first, many)
            else:
                arena.defer(first, many)
        return None

    def _runs(self, page: int, count: int) -> Iterable[tuple[int, int]]:
        """The pages that stand in for a recorded range, as ranges."""
        if not self._translation:
            yield page, count
            return
        first = many = 0
        for one in range(page, page + count):
            meant = self._translate(one)
            if many and meant == first + many:
                many += 1
                continue
            if many:
                yield first, many
            first, many = meant, 1
        if many:
            yield first, many

    def _drain(self, op: int, page: int, count: int) -> _Found:  # noqa: ARG002
        self._arena.drain()
        return None

    def _reserve(self, op: int, page: int, count: int) -> _Found:
        arena = self._arena
        if op & OK and page >= 0 and 0 < count <= arena.clamp(page, count) and not op & MISALIGNED:
            arena.reserve(page, count)
        return None

    def _user_fault(self, op: int, page: int, count: int) -> _Found:  # noqa: ARG002
        outcome = op >> RESULT_SHIFT & 0xF
        if page < 0 or outcome not in (Outcome.MAPPED, Outcome.SIGSEGV):
            return None
        arena = self._arena
        meant = self._translate(page)
        answer = arena.user_fault(meant)
        if answer is None:
            return None
        if answer == Pte.REAL and arena.state(meant) != Pte.REAL:
            arena.allocate(meant, 1)
        mapped = answer == Pte.REAL
        if mapped == (outcome == Outcome.MAPPED):
            return None
        state = arena.state(meant).label
        return (
            Outcome(outcome).label,
            "mapped" if mapped else "sigsegv",
            f"page {page} would be {state}",
        )

    def _kernel_fault(self, op: int, page: int, count: int) -> _Found:  # noqa: ARG002
        outcome = op >> RESULT_SHIFT & 0xF
        if not outcome or not 0 <= page < RECOVERY_PAGES:
            return None
        arena = self._arena
        meant = self._translate(page)
        recorded = Outcome(outcome).label
        state = arena.state(meant)
        if arena.touch == Touch.GARBAGE and meant < BAND_PAGES:
            return recorded, "no fault", "every page of the band is backed: the access is silent"
        if state in (Pte.REAL, Pte.SCRATCH):
            if outcome == Outcome.ALREADY_MAPPED:
                return None
            return recorded, "no fault", f"page {page} would be {state.label}"
        if arena.touch != Touch.SCRATCH:
            if outcome == Outcome.OOPS:
                return None
            return recorded, "oops", "without scratch pages the kernel cannot go on here"
        if outcome == Outcome.OOPS and self._oopses_anyway:
            return None
        if outcome == Outcome.OOPS:
            # with another arena's program to blame it would be an oops here too
            return recorded, "scratch-installed", "if the program blamed has this arena"
        if state == Pte.NONE:
            arena.set_pte(meant, Pte.SCRATCH)
        return None

    def _prog_fault(self, op: int, page: int, count: int) -> _Found:  # noqa: ARG002
        if not 0 <= page < RECOVERY_PAGES:
            return None
        state = self._arena.state(self._translate(page))
        if state in (Pte.NONE, Pte.UNKNOWN):
            return None
        return "program fault", "no fault", f"page {page} would be {state.label}"

    def _create(self, op: int, page: int, count: int) -> _Found:  # noqa: ARG002
        old = self._arena
        self._arena = Arena(old.profile, old.max_entries, old.map_flags)
        self._translation.clear()
        return None

    def _lost(self, op: int, page: int, count: int) -> _Found:  # noqa: ARG002
        self._arena.forget()
        self._translation.clear()
        return None


_Found = tuple[str, str, str] | None

_WHY_REFUSED: dict[int, str] = {
    Refusal.SCRATCHED: "a page of the range is scratched: -EBUSY inside",
    Refusal.TAKEN: "the pages would not be free",
    Refusal.NO_ROOM: "no free range would be large enough",
}


def _sort(text: str) -> str:
    return "pages" if text.startswith("page") else text


def _pages(page: int, count: int) -> str:
    return f"page {page}" if count == 1 else f"pages {page} to {page + count - 1}"
