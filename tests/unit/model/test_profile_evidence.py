"""Choice of a profile from hints and proofs."""

from __future__ import annotations

import pytest

from arenatrace.model.kernel.profiles import BPF_F_ARENA_MAP_ALWAYS
from arenatrace.model.replay.profile_evidence import (
    ProfileHints,
    conflicting_proofs,
    evidence_lines,
    initial_profile,
    proven_profile,
)
from arenatrace.schema import Outcome
from tests.unit.model.hand_written_events import Script

_HANDLER = "bpf_arena_handle_page_fault"


@pytest.mark.parametrize(
    ("hints", "profile"),
    [
        (ProfileHints(), "scratch-replace"),
        (ProfileHints(features={_HANDLER: True}), "scratch-replace"),
        (ProfileHints(features={_HANDLER: False}), "pre-scratch"),
        (ProfileHints(recovered=2, oopsed=1), "scratch-replace"),
        (ProfileHints(oopsed=1), "pre-scratch"),
        (ProfileHints(recorded="scratch-sticky"), "scratch-sticky"),
        (ProfileHints(recorded="newer-than-this"), "scratch-replace"),
        (ProfileHints(map_flags=[BPF_F_ARENA_MAP_ALWAYS]), "map-always"),
    ],
)
def test_initial_profile_comes_with_evidence(hints: ProfileHints, profile: str) -> None:
    name, evidence = initial_profile(hints)
    assert name == profile
    assert evidence


def _sticky() -> Script:
    script = Script()
    script.kernel(0, Outcome.SCRATCH_INSTALLED)
    script.alloc(None)
    return script


def test_refusal_over_scratch_proves_scratch_sticky() -> None:
    proofs = _sticky().replay().proofs
    assert proven_profile("scratch-replace", proofs) == "scratch-sticky"
    assert "page 0" in evidence_lines(proofs)[0]


def test_second_scratch_install_proves_scratch_replace() -> None:
    script = Script()
    script.kernel(0, Outcome.SCRATCH_INSTALLED)
    script.free(0)
    script.kernel(0, Outcome.SCRATCH_INSTALLED)
    assert proven_profile("scratch-sticky", script.replay("scratch-sticky").proofs) == (
        "scratch-replace"
    )
    assert proven_profile("pre-scratch", script.replay("pre-scratch").proofs) == "scratch-replace"


def test_proofs_of_two_profiles_conflict() -> None:
    script = _sticky()
    seq = script.alloc(0, at=True)
    proofs = script.replay().proofs
    assert proven_profile("scratch-replace", proofs) is None
    found = conflicting_proofs(ProfileHints(), proofs)
    assert found is not None
    assert found[0] == seq
    assert conflicting_proofs(ProfileHints(), {}) is None


@pytest.mark.parametrize(
    "hints",
    [ProfileHints(features={_HANDLER: False}), ProfileHints(map_flags=[BPF_F_ARENA_MAP_ALWAYS])],
)
def test_recovery_conflicts_with_hints_against_scratch_pages(hints: ProfileHints) -> None:
    proofs = {"scratch": (5, "a kernel-side fault was recovered")}
    found = conflicting_proofs(hints, proofs)
    assert found is not None
    assert "two profiles" in found[3]
    assert conflicting_proofs(ProfileHints(), proofs) is None
