"""Choose the kernel profile of a trace and replay the trace under it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from arenatrace.model.kernel.profiles import PROFILES, Profile, with_maple
from arenatrace.model.replay.arena_replay import Divergence
from arenatrace.model.replay.profile_evidence import (
    ProfileHints,
    conflicting_proofs,
    evidence_lines,
    initial_profile,
    proven_profile,
)
from arenatrace.model.replay.verdict import GroupResult
from arenatrace.schema import ProfileName


@dataclass(frozen=True)
class ProfileChoice:
    """The chosen profile, the evidence for it, and the replay under it."""

    profile: Profile
    evidence: list[str]
    result: GroupResult


def replay_under_profile(
    wanted: Profile | None, hints: ProfileHints, replay: Callable[[Profile], GroupResult]
) -> ProfileChoice:
    """Replay under ``wanted``, or under the profile that fits the trace best.

    Without ``wanted`` the first replay uses the profile that ``hints`` suggest. If its events
    prove another profile, or a maple tree explains more of them, the trace is replayed again.
    """
    if wanted is not None:
        return ProfileChoice(wanted, ["asked for on the command line"], replay(wanted))
    name, evidence = initial_profile(hints)
    profile = PROFILES[name]
    result = replay(profile)
    better = proven_profile(name, result.proofs)
    if better is not None:
        evidence.append(f"a replay as {name} proved another profile")
        profile = PROFILES[better]
        first_lines = evidence_lines(result.proofs)
        result = replay(profile)
        lines = evidence_lines(result.proofs)
        evidence += [line for line in first_lines if line not in lines]
    elif name == ProfileName.PRE_SCRATCH and result.tally.divergences:
        maple = replay(with_maple(profile))
        if maple.tally.divergences < result.tally.divergences:
            profile, result = with_maple(profile), maple
            evidence.append("addresses follow the lowest gap: a maple tree, kernels before 6.13")
    evidence += evidence_lines(result.proofs)
    conflict = conflicting_proofs(hints, result.proofs)
    if conflict is not None:
        result.divergences.append(_profile_divergence(result, *conflict))
    return ProfileChoice(profile, evidence, result)


def _profile_divergence(
    result: GroupResult, seq: int, expected: str, observed: str, explanation: str
) -> Divergence:
    """Return the divergence of kind ``profile`` at the event ``seq``."""
    at_seq = [divergence for divergence in result.divergences if divergence.seq == seq]
    return Divergence(
        seq=seq,
        kind="profile",
        expected=expected,
        observed=observed,
        explanation=explanation,
        ts_ns=at_seq[0].ts_ns if at_seq else 0,
        arena=at_seq[0].arena if at_seq else 0,
        page=None,
    )
