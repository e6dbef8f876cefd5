# ruff: noqa: D102 -- each rule is named after its operation
"""Compare the model with a naive arena in long random runs under every profile."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from arenatrace.model.kernel.arena import Arena, Freeness, Refusal
from arenatrace.model.kernel.profiles import (
    BPF_F_ARENA_MAP_ALWAYS,
    BPF_F_SEGV_ON_FAULT,
    PROFILES,
    Touch,
)
from arenatrace.model.kernel.pte import Pte
from tests.runs import runs
from tests.unit.model.oracles import NaiveArena

_PAGES = 24
_PAGE = st.integers(0, _PAGES - 1)
_COUNT = st.integers(1, 6)
_WORD = {"": (Pte.NONE, Pte.GARBAGE), "real": (Pte.REAL,), "scratch": (Pte.SCRATCH,)}


class ArenaMachine(RuleBasedStateMachine):
    """Runs every operation on both arenas and compares every page after each."""

    @initialize(profile=st.sampled_from(sorted(PROFILES)), segv=st.booleans(), always=st.booleans())
    def begin(self, profile: str, segv: bool, always: bool) -> None:
        flags = BPF_F_SEGV_ON_FAULT * segv | BPF_F_ARENA_MAP_ALWAYS * always
        self.arena = Arena(PROFILES[profile], _PAGES, flags)
        self.naive = NaiveArena(profile, _PAGES, flags)

    @rule(count=st.integers(1, _PAGES + 2), requested=st.none() | st.integers(0, _PAGES + 2))
    def alloc(self, count: int, requested: int | None) -> None:
        if requested is not None:
            count = 1 + count % 5
        chosen = self.arena.find_pages(requested, count)
        given = self.naive.alloc(requested, count)
        assert (chosen if chosen >= 0 else None) == given
        if chosen >= 0:
            self.arena.allocate(chosen, count)
        elif chosen == Refusal.SCRATCHED:
            target = self.arena.free.find(count) if requested is None else requested
            mapped = self.arena.scratched(target, count)
            self.arena.refuse_scratched(target, count, mapped, sleepable=True)

    @rule(page=_PAGE, count=_COUNT)
    def free(self, page: int, count: int) -> None:
        self.arena.release(page, self.arena.clamp(page, count))
        self.naive.free_now(page, count)

    @rule(page=_PAGE, count=_COUNT)
    def free_later(self, page: int, count: int) -> None:
        self.arena.defer(page, self.arena.clamp(page, count))
        self.naive.free_later(page, count)

    @rule()
    def work(self) -> None:
        self.arena.drain()
        self.naive.work()

    @rule(page=_PAGE, count=_COUNT)
    def reserve(self, page: int, count: int) -> None:
        answer = self.naive.reserve(page, count)
        if page + count <= _PAGES:
            free = self.arena.freeness(page, count) == Freeness.FREE
            assert free == (answer == 0)
            if free:
                self.arena.reserve(page, count)

    @rule(page=_PAGE)
    def user(self, page: int) -> None:
        answer = self.arena.user_fault(page)
        if answer == Pte.REAL and self.arena.state(page) != Pte.REAL:
            self.arena.allocate(page, 1)
        assert (answer == Pte.REAL) == (self.naive.user(page) == "mapped")

    @rule(page=_PAGE)
    def kernel(self, page: int) -> None:
        empty = self.arena.state(page) == Pte.NONE
        scratches = self.arena.touch == Touch.SCRATCH
        seen = "no fault" if not empty else "scratch-installed" if scratches else "oops"
        if seen == "scratch-installed":
            self.arena.set_pte(page, Pte.SCRATCH)
        assert self.naive.kernel(page) == seen

    @rule(page=_PAGE)
    def prog(self, page: int) -> None:
        faults = self.arena.state(page) == Pte.NONE
        assert self.naive.prog(page) == ("program fault" if faults else "no fault")

    @rule()
    def copy(self) -> None:
        self.arena = self.arena.copy()

    @invariant()
    def same_pages(self) -> None:
        for page in range(_PAGES):
            assert self.arena.state(page) in _WORD[self.naive.page[page]]
            free = self.arena.freeness(page, 1) == Freeness.FREE
            assert free == self.naive.free.has(page)


TestArena = ArenaMachine.TestCase
TestArena.settings = settings(max_examples=runs(1000), stateful_step_count=40, deadline=None)
