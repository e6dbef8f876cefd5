"""Compare profiles: the events of a trace that differ under another profile.

A second arena gets the recorded requests (counts, requested addresses, frees and accesses) and
answers them by its own profile. If it chooses another address for an allocation, later frees
and accesses of the recorded page are translated to the page that it chose.
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

#: Most differences listed for a trace. Further ones are only counted.
MAX_LISTED = 10_000


@dataclass(frozen=True)
class Difference:
    """One event that differs under the other profile."""

    seq: int
    kind: str
    arena: int
    recorded: str
    would_be: str
    explanation: str


@dataclass
class WhatIf:
    """Events that differ under ``profile``, for a trace recorded under ``instead_of``."""

    profile: str
    instead_of: str
    events: int = 0
    count: int = 0
    #: Category of difference, "recorded -> would be", to its count.
    kinds: dict[str, int] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)

    def add(self, difference: Difference, category: str) -> None:
        """Count a difference, and list it up to ``MAX_LISTED``."""
        self.count += 1
        self.kinds[category] = self.kinds.get(category, 0) + 1
        if len(self.differences) < MAX_LISTED:
            self.differences.append(difference)

    def to_dict(self) -> dict[str, Any]:
        """Return the member ``what_if`` of the JSON object."""
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
    """Runs the requests of one arena under ``profile``; adds differences to ``result``."""

    def __init__(self, info: ArenaInfo, profile: Profile, result: WhatIf) -> None:
        flags = info.map_flags
        if profile.has_map_always:
            # Compare with the flag set, whether or not the recorded programs set it.
            flags |= BPF_F_ARENA_MAP_ALWAYS
        self._info = info
        self._result = result
        self._handlers: dict[int, Callable[[int, int, int], _Mismatch]] = {
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
        recorded = PROFILES.get(result.instead_of)
        #: The recorded kernel had scratch pages too: an oops there had no program to blame.
        self._oopses_anyway = recorded is not None and recorded.empty_touch == Touch.SCRATCH
        self._arena = Arena(profile, info.max_entries, flags, fresh=info.fresh)
        #: recorded page -> page of this arena, where they differ
        self._translation: dict[int, int] = {}

    def feed(self, segment: Segment) -> None:
        """Run the requests of ``segment``."""
        for at, op in enumerate(segment.op):
            handler = self._handlers.get(op & KIND)
            if handler is None:
                continue
            page, count = segment.page[at], segment.pages[at]
            self._result.events += 1
            mismatch = handler(op, page, count)
            if mismatch is None:
                continue
            recorded, would_be, why = mismatch
            kind = Kind(op & KIND).label
            category = (
                _ADDRESS_ONLY
                if recorded.startswith("page") and would_be.startswith("page")
                else f"{kind}: {_category(recorded)} -> {_category(would_be)}"
            )
            difference = Difference(
                segment.seq[at], kind, self._info.arena, recorded, would_be, why
            )
            self._result.add(difference, category)

    def _translate(self, page: int) -> int:
        return self._translation.get(page, page)

    def _alloc(self, op: int, page: int, count: int) -> _Mismatch:
        if count <= 0 or op & (MISALIGNED | BAD_NODE) or (page < 0 and op & (FIXED | OK)):
            return None
        arena = self._arena
        requested = page if op & FIXED else None
        chosen = arena.find_pages(requested, count)
        if chosen == Refusal.UNKNOWN:
            if op & OK and count <= arena.clamp(page, count):
                arena.allocate(page, count)
            return None
        recorded = f"{_pages(page, count)}" if op & OK else "refused"
        if chosen >= 0:
            if not op & OK:
                # Without scratch in the way, the refusal was for lack of memory.
                scratched = arena.scratched(chosen, count) >= 0
                if not scratched:
                    return None
            arena.allocate(chosen, count)
            if op & OK and not self._set_translation(page, chosen, count):
                return None
            why = (
                "the free set differs by then"
                if op & OK
                else "scratch is replaced by the allocation instead of refusing it"
            )
            return recorded, _pages(chosen, count), why
        if chosen == Refusal.SCRATCHED:
            target = arena.free.find(count) if requested is None else requested
            mapped = arena.scratched(target, count)
            at_once = bool(op & (OK | SLEEPABLE))
            arena.refuse_scratched(target, count, mapped, sleepable=at_once)
        if not op & OK:
            return None
        return recorded, "refused", _WHY_REFUSED.get(chosen, "no room is left")

    def _set_translation(self, page: int, chosen: int, count: int) -> bool:
        """Translate recorded pages to the chosen ones; return whether they differ."""
        for offset in range(count):
            if chosen == page:
                self._translation.pop(page + offset, None)
            else:
                self._translation[page + offset] = chosen + offset
        return chosen != page

    def _free(self, op: int, page: int, count: int) -> _Mismatch:
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
        """Yield (first page, pages) of the translation of a recorded range."""
        if not self._translation:
            yield page, count
            return
        first = many = 0
        for one in range(page, page + count):
            translated = self._translate(one)
            if many and translated == first + many:
                many += 1
                continue
            if many:
                yield first, many
            first, many = translated, 1
        if many:
            yield first, many

    def _drain(self, op: int, page: int, count: int) -> _Mismatch:  # noqa: ARG002
        self._arena.drain()
        return None

    def _reserve(self, op: int, page: int, count: int) -> _Mismatch:
        arena = self._arena
        if op & OK and page >= 0 and 0 < count <= arena.clamp(page, count) and not op & MISALIGNED:
            arena.reserve(page, count)
        return None

    def _user_fault(self, op: int, page: int, count: int) -> _Mismatch:  # noqa: ARG002
        outcome = op >> RESULT_SHIFT & 0xF
        if page < 0 or outcome not in (Outcome.MAPPED, Outcome.SIGSEGV):
            return None
        arena = self._arena
        translated = self._translate(page)
        answer = arena.user_fault(translated)
        if answer is None:
            return None
        if answer == Pte.REAL and arena.state(translated) != Pte.REAL:
            arena.allocate(translated, 1)
        mapped = answer == Pte.REAL
        if mapped == (outcome == Outcome.MAPPED):
            return None
        state = arena.state(translated).label
        return (
            Outcome(outcome).label,
            "mapped" if mapped else "sigsegv",
            f"page {page} would be {state}",
        )

    def _kernel_fault(self, op: int, page: int, count: int) -> _Mismatch:  # noqa: ARG002
        outcome = op >> RESULT_SHIFT & 0xF
        if not outcome or not 0 <= page < RECOVERY_PAGES:
            return None
        arena = self._arena
        translated = self._translate(page)
        recorded = Outcome(outcome).label
        state = arena.state(translated)
        if arena.touch == Touch.GARBAGE and translated < BAND_PAGES:
            return (
                recorded,
                "no fault",
                "every page of the band is backed: the access does not fault",
            )
        if state in (Pte.REAL, Pte.SCRATCH):
            if outcome == Outcome.ALREADY_MAPPED:
                return None
            return recorded, "no fault", f"page {page} would be {state.label}"
        if arena.touch != Touch.SCRATCH:
            if outcome == Outcome.OOPS:
                return None
            return recorded, "oops", "a kernel without scratch pages cannot recover"
        if outcome == Outcome.OOPS and self._oopses_anyway:
            return None
        if outcome == Outcome.OOPS:
            # If the blamed program has another arena, it is an oops here too.
            return recorded, "scratch-installed", "if the blamed program has this arena"
        if state == Pte.NONE:
            arena.set_pte(translated, Pte.SCRATCH)
        return None

    def _prog_fault(self, op: int, page: int, count: int) -> _Mismatch:  # noqa: ARG002
        if not 0 <= page < RECOVERY_PAGES:
            return None
        state = self._arena.state(self._translate(page))
        if state in (Pte.NONE, Pte.UNKNOWN):
            return None
        return "program fault", "no fault", f"page {page} would be {state.label}"

    def _create(self, op: int, page: int, count: int) -> _Mismatch:  # noqa: ARG002
        old = self._arena
        self._arena = Arena(old.profile, old.max_entries, old.map_flags)
        self._translation.clear()
        return None

    def _lost(self, op: int, page: int, count: int) -> _Mismatch:  # noqa: ARG002
        self._arena.forget()
        self._translation.clear()
        return None


#: (recorded, would be, explanation) of an event that differs.
_Mismatch = tuple[str, str, str] | None

_WHY_REFUSED: dict[int, str] = {
    Refusal.SCRATCHED: "a page of the range is scratched: -EBUSY inside",
    Refusal.TAKEN: "the pages would not be free",
    Refusal.NO_ROOM: "no free range would be large enough",
}


def _category(text: str) -> str:
    return "pages" if text.startswith("page") else text


def _pages(page: int, count: int) -> str:
    return f"page {page}" if count == 1 else f"pages {page} to {page + count - 1}"
