"""Which generation of the kernel a trace comes from, and how that is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from arenatrace.model.kernel.profiles import BPF_F_ARENA_MAP_ALWAYS, PROFILES
from arenatrace.schema import ProfileName

_HANDLER = "bpf_arena_handle_page_fault"


@dataclass(frozen=True)
class Hints:
    """What is known before any event is replayed."""

    #: The profile the recorder wrote down, if it did.
    recorded: str | None = None
    #: Functions of the recorded kernel: present or not.
    features: Mapping[str, bool] = field(default_factory=dict)
    map_flags: Sequence[int] = ()
    #: Kernel-side faults in the trace that were recovered, and that were not.
    recovered: int = 0
    oopsed: int = 0


def first_guess(hints: Hints) -> tuple[str, list[str]]:
    """The profile to begin with, and the evidence for it."""
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
    return ProfileName.SCRATCH_REPLACE, ["nothing in the trace tells: the latest one is assumed"]


def better_guess(profile: str, proofs: Mapping[str, tuple[int, str]]) -> str | None:
    """The profile that ``proofs``, found while replaying under ``profile``, ask for instead."""
    if profile == ProfileName.SCRATCH_REPLACE:
        only_sticky = (
            ProfileName.SCRATCH_STICKY in proofs and ProfileName.SCRATCH_REPLACE not in proofs
        )
        return ProfileName.SCRATCH_STICKY if only_sticky else None
    if profile == ProfileName.SCRATCH_STICKY:
        return ProfileName.SCRATCH_REPLACE if ProfileName.SCRATCH_REPLACE in proofs else None
    if profile == ProfileName.PRE_SCRATCH and "scratch" in proofs:
        return ProfileName.SCRATCH_REPLACE
    return None


def shown(proofs: Mapping[str, tuple[int, str]]) -> list[str]:
    """Each proof as a line of evidence, in the order of the events."""
    return [
        f"seq {seq}: {sentence}, as only {_MEANS[name]} does"
        for name, (seq, sentence) in sorted(proofs.items(), key=lambda item: item[1])
    ]


def mixed(hints: Hints, proofs: Mapping[str, tuple[int, str]]) -> tuple[int, str, str, str] | None:
    """(seq, expected, observed, explanation) if the proofs exclude each other, else None."""
    if ProfileName.SCRATCH_STICKY in proofs and ProfileName.SCRATCH_REPLACE in proofs:
        first, second = sorted(
            (ProfileName.SCRATCH_STICKY, ProfileName.SCRATCH_REPLACE), key=lambda n: proofs[n]
        )
        (seq1, said1), (seq2, said2) = proofs[first], proofs[second]
        told = f"the trace proves two generations: {said1} (seq {seq1}), but {said2} (seq {seq2})"
        return seq2, first, second, told
    if "scratch" not in proofs:
        return None
    seq, sentence = proofs["scratch"]
    if any(flags & BPF_F_ARENA_MAP_ALWAYS for flags in hints.map_flags):
        against = ProfileName.MAP_ALWAYS
        why = "an arena was created with BPF_F_ARENA_MAP_ALWAYS"
    elif hints.features.get(_HANDLER) is False:
        against = ProfileName.PRE_SCRATCH
        why = f"the kernel has no {_HANDLER}()"
    else:
        return None
    return seq, against, "scratch-*", f"the trace proves two generations: {why}, but {sentence}"


_MEANS = {
    "scratch": "a kernel with scratch pages",
    ProfileName.SCRATCH_STICKY: ProfileName.SCRATCH_STICKY,
    ProfileName.SCRATCH_REPLACE: ProfileName.SCRATCH_REPLACE,
}
