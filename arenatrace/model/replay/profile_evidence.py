"""Which profile of the kernel a trace comes from, and the evidence for it.

A proof is an event that only one profile allows: profile name to (seq, sentence).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from arenatrace.model.kernel.profiles import BPF_F_ARENA_MAP_ALWAYS, PROFILES
from arenatrace.schema import ProfileName

_HANDLER = "bpf_arena_handle_page_fault"
#: Proof that the kernel has scratch pages, in whichever profile.
ANY_SCRATCH = "scratch"


@dataclass(frozen=True)
class ProfileHints:
    """Evidence for a profile that needs no replay."""

    #: Profile that the recorder wrote into the trace, if any.
    recorded: str | None = None
    #: Functions of the recorded kernel: present or not.
    features: Mapping[str, bool] = field(default_factory=dict)
    map_flags: Sequence[int] = ()
    #: Kernel-side faults in the trace that were recovered, and that oopsed.
    recovered: int = 0
    oopsed: int = 0


def initial_profile(hints: ProfileHints) -> tuple[str, list[str]]:
    """Return the profile of the first replay, and the evidence for it."""
    if any(flags & BPF_F_ARENA_MAP_ALWAYS for flags in hints.map_flags):
        return ProfileName.MAP_ALWAYS, [
            "an arena was created with BPF_F_ARENA_MAP_ALWAYS (map flag bit 20)"
        ]
    if hints.recorded in PROFILES:
        return hints.recorded, ["the recorder wrote this profile into the trace"]
    if _HANDLER in hints.features:
        if hints.features[_HANDLER]:
            return ProfileName.SCRATCH_REPLACE, [f"the kernel has {_HANDLER}()"]
        return ProfileName.PRE_SCRATCH, [f"the kernel has no {_HANDLER}()"]
    if hints.recovered:
        return ProfileName.SCRATCH_REPLACE, [
            f"{hints.recovered} kernel-side fault(s) were recovered"
        ]
    if hints.oopsed:
        return ProfileName.PRE_SCRATCH, [
            f"{hints.oopsed} kernel-side fault(s) oopsed, none was recovered"
        ]
    return ProfileName.SCRATCH_REPLACE, ["the trace has no evidence: the latest profile is assumed"]


def proven_profile(profile: str, proofs: Mapping[str, tuple[int, str]]) -> str | None:
    """Return the other profile that ``proofs`` of a replay under ``profile`` require, if any."""
    if profile == ProfileName.SCRATCH_REPLACE:
        only_sticky = (
            ProfileName.SCRATCH_STICKY in proofs and ProfileName.SCRATCH_REPLACE not in proofs
        )
        return ProfileName.SCRATCH_STICKY if only_sticky else None
    if profile == ProfileName.SCRATCH_STICKY:
        return ProfileName.SCRATCH_REPLACE if ProfileName.SCRATCH_REPLACE in proofs else None
    if profile == ProfileName.PRE_SCRATCH and ANY_SCRATCH in proofs:
        return ProfileName.SCRATCH_REPLACE
    return None


def evidence_lines(proofs: Mapping[str, tuple[int, str]]) -> list[str]:
    """Return one line of evidence for each proof, in the order of the events."""
    return [
        f"seq {seq}: {sentence}, as only {_KERNELS[name]} does"
        for name, (seq, sentence) in sorted(proofs.items(), key=lambda item: item[1])
    ]


def conflicting_proofs(
    hints: ProfileHints, proofs: Mapping[str, tuple[int, str]]
) -> tuple[int, str, str, str] | None:
    """Return (seq, expected, observed, explanation) if the proofs exclude each other."""
    if ProfileName.SCRATCH_STICKY in proofs and ProfileName.SCRATCH_REPLACE in proofs:
        first, second = sorted(
            (ProfileName.SCRATCH_STICKY, ProfileName.SCRATCH_REPLACE), key=lambda n: proofs[n]
        )
        (seq1, sentence1), (seq2, sentence2) = proofs[first], proofs[second]
        explanation = (
            f"the trace proves two profiles: {sentence1} (seq {seq1}), but {sentence2} (seq {seq2})"
        )
        return seq2, first, second, explanation
    if ANY_SCRATCH not in proofs:
        return None
    seq, sentence = proofs[ANY_SCRATCH]
    if any(flags & BPF_F_ARENA_MAP_ALWAYS for flags in hints.map_flags):
        against = ProfileName.MAP_ALWAYS
        why = "an arena was created with BPF_F_ARENA_MAP_ALWAYS"
    elif hints.features.get(_HANDLER) is False:
        against = ProfileName.PRE_SCRATCH
        why = f"the kernel has no {_HANDLER}()"
    else:
        return None
    return seq, against, "scratch-*", f"the trace proves two profiles: {why}, but {sentence}"


#: Proof -> the kernels that it stands for.
_KERNELS = {
    ANY_SCRATCH: "a kernel with scratch pages",
    ProfileName.SCRATCH_STICKY: ProfileName.SCRATCH_STICKY,
    ProfileName.SCRATCH_REPLACE: ProfileName.SCRATCH_REPLACE,
}
