"""The four profiles, each with its row in the table of profiles."""

from __future__ import annotations

import pytest

from arenatrace.errors import UsageError
from arenatrace.model.kernel.arena import Arena, Refusal
from arenatrace.model.kernel.profiles import (
    BPF_F_ARENA_MAP_ALWAYS,
    BPF_F_SEGV_ON_FAULT,
    PROFILES,
    Touch,
    profile_named,
    with_maple,
)
from arenatrace.model.kernel.pte import Pte
from arenatrace.schema import Outcome
from tests.unit.model.hand_written_events import Script, arena_info

_INSTALLED, _OOPS = Outcome.SCRATCH_INSTALLED, Outcome.OOPS


#: Table of profiles: result of a kernel-side access to an empty page, then of an allocation, a
#: free and a user space access of that page.
_TABLE = {
    #                   touch                alloc over it    free over it        user touch
    "pre-scratch": ("oops", "page", "stays unmapped", "mapped"),
    "map-always": ("no fault", "page", "stays backed by the garbage page", "mapped"),
    "scratch-sticky": ("scratch installed", "refused", "stays scratched", "SIGSEGV"),
    "scratch-replace": ("scratch installed", "page", "unmapped", "SIGSEGV"),
}


@pytest.mark.parametrize("profile", PROFILES)
def test_profile_matches_its_row_of_the_table(profile: str) -> None:
    def touched() -> tuple[Arena, str]:
        arena = Arena(PROFILES[profile], 16, BPF_F_ARENA_MAP_ALWAYS)
        if arena.state(3) != Pte.NONE:
            return arena, "no fault"
        if arena.touch != Touch.SCRATCH:
            return arena, "oops"
        arena.set_pte(3, Pte.SCRATCH)
        return arena, "scratch installed"

    arena, touch = touched()
    alloc = "page" if arena.find_pages(3, 1) == 3 else "refused"
    before = arena.state(3)
    arena.release(3, 1)
    free = ("stays " if arena.state(3) == before else "") + arena.state(3).label
    user = "mapped" if touched()[0].user_fault(3) == Pte.REAL else "SIGSEGV"
    assert (touch, alloc, free, user) == _TABLE[profile]


def _script(profile: str, flags: int = 0) -> Script:
    always = BPF_F_ARENA_MAP_ALWAYS if profile == "map-always" else 0
    return Script(arena_info(map_flags=flags | always))


def _accepts(profile: str, outcome: Outcome) -> bool:
    script = _script(profile)
    script.kernel(3, outcome, prog=None if outcome == _OOPS else 0)
    return not script.wrong(profile)


@pytest.mark.parametrize(
    ("profile", "oopses", "scratches"),
    [
        ("pre-scratch", True, False),
        ("map-always", False, False),
        ("scratch-sticky", True, True),
        ("scratch-replace", True, True),
    ],
)
def test_kernel_side_access_to_an_empty_page(profile: str, oopses: bool, scratches: bool) -> None:
    # With scratch pages, an oops is possible without a program to blame.
    assert _accepts(profile, _OOPS) is oopses
    assert _accepts(profile, _INSTALLED) is scratches


@pytest.mark.parametrize(
    ("profile", "given"), [("scratch-sticky", False), ("scratch-replace", True)]
)
def test_alloc_over_scratch(profile: str, given: bool) -> None:
    script = _script(profile)
    script.kernel(0, _INSTALLED)
    wrong = script.alloc(0)
    assert script.wrong(profile) == ([] if given else [wrong])
    arena = Arena(PROFILES[profile], 16)
    arena.set_pte(0, Pte.SCRATCH)
    assert arena.find_pages(None, 1) == (0 if given else Refusal.SCRATCHED)
    assert arena.find_pages(0, 2) == (0 if given else Refusal.SCRATCHED)


def test_refusal_over_scratch_returns_the_range_to_the_free_set() -> None:
    script = _script("scratch-sticky")
    script.kernel(2, _INSTALLED)
    script.free(0, 2)  # arena_free_pages() inside: two pages were mapped
    script.alloc(None, 4)
    script.alloc(0, 2, at=True)
    assert script.wrong("scratch-sticky") == []


@pytest.mark.parametrize(
    ("profile", "after"), [("scratch-sticky", Pte.SCRATCH), ("scratch-replace", Pte.NONE)]
)
def test_free_over_scratch(profile: str, after: Pte) -> None:
    arena = Arena(PROFILES[profile], 16)
    arena.set_pte(5, Pte.SCRATCH)
    arena.release(4, 3)
    assert arena.state(5) == after


@pytest.mark.parametrize("profile", ["scratch-sticky", "scratch-replace"])
def test_user_access_to_scratch_gets_sigsegv(profile: str) -> None:
    script = _script(profile)
    script.kernel(1, _INSTALLED)
    script.user(1, Outcome.SIGSEGV)
    wrong = script.user(1, Outcome.MAPPED)
    assert script.wrong(profile) == [wrong]


def test_map_always_keeps_every_empty_page_backed() -> None:
    arena = Arena(PROFILES["map-always"], 16, BPF_F_ARENA_MAP_ALWAYS)
    assert arena.state(3) == Pte.GARBAGE
    arena.allocate(3, 1)
    assert arena.state(3) == Pte.REAL
    arena.release(3, 1)
    assert arena.state(3) == Pte.GARBAGE
    assert arena.state(1 << 20) == Pte.NONE


@pytest.mark.parametrize("segv", [False, True])
def test_map_always_does_not_change_user_faults(segv: bool) -> None:
    script = _script("map-always", BPF_F_SEGV_ON_FAULT if segv else 0)
    script.user(3, Outcome.SIGSEGV if segv else Outcome.MAPPED)
    assert script.wrong("map-always") == []


def test_map_always_without_the_flag_equals_pre_scratch() -> None:
    script = Script()
    script.kernel(3, _OOPS, prog=None)
    script.prog(4)
    assert script.wrong("map-always") == []


def test_program_fault_under_map_always_diverges() -> None:
    script = _script("map-always")
    wrong = script.prog(3)
    assert script.wrong("map-always") == [wrong]


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_user_fault_maps_a_reserved_page(profile: str) -> None:
    script = _script(profile)
    script.reserve(3)
    script.user(3, Outcome.MAPPED)
    wrong = script.alloc(3)
    assert script.wrong(profile) == [wrong]


def test_user_fault_on_a_reserved_page_diverges_with_a_maple_tree() -> None:
    script = Script()
    script.reserve(3)
    wrong = script.user(3, Outcome.MAPPED)
    assert script.wrong(with_maple(PROFILES["pre-scratch"])) == [wrong]


def test_unknown_profile_lists_all_profiles() -> None:
    with pytest.raises(UsageError) as error:
        profile_named("scratch")
    for name in PROFILES:
        assert name in error.value.hint
    assert len(PROFILES) == 4
