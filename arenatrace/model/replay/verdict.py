"""Verdict on a trace, merged from the results of groups of arenas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from arenatrace.errors import ExitCode
from arenatrace.model.replay.arena_replay import ArenaReplay, Divergence
from arenatrace.model.replay.reorder import REORDER_WINDOW_NS
from arenatrace.model.replay.tally import Tally

SCHEMA = "arenatrace.replay/1"

CONSISTENT, DIVERGENT, INCONCLUSIVE = "consistent", "divergent", "inconclusive"

#: Most divergences listed for a group of arenas. Further ones are only counted.
MAX_LISTED = 10_000

Proofs = dict[str, tuple[int, str]]


@dataclass
class GroupResult:
    """Replay result of one group of arenas. Plain data: it crosses process boundaries."""

    tally: Tally = field(default_factory=Tally)
    divergences: list[Divergence] = field(default_factory=list)
    proofs: Proofs = field(default_factory=dict)

    def add_divergence(self, divergence: Divergence) -> None:
        """List a divergence, up to ``MAX_LISTED``."""
        if len(self.divergences) < MAX_LISTED:
            self.divergences.append(divergence)

    def add_arena(self, replay: ArenaReplay) -> None:
        """Finish the replay of an arena and add its counts and proofs."""
        replay.finish()
        self.tally.add(replay.tally)
        _merge_proofs(self.proofs, replay.proofs)


def _merge_proofs(into: Proofs, more: Mapping[str, tuple[int, str]]) -> None:
    """Keep the earliest proof of each profile."""
    for name, proof in more.items():
        if name not in into or proof < into[name]:
            into[name] = proof


def merge_results(groups: Iterable[GroupResult]) -> GroupResult:
    """Merge the results of all groups, with divergences in the order of the trace."""
    merged = GroupResult()
    for group in groups:
        merged.tally.add(group.tally)
        merged.divergences += group.divergences
        _merge_proofs(merged.proofs, group.proofs)
    merged.divergences.sort(key=lambda divergence: (divergence.ts_ns, divergence.seq))
    return merged


@dataclass(frozen=True)
class ReplayResult:
    """Verdict on a trace, with its counts and evidence."""

    profile: str
    profile_evidence: Sequence[str]
    tally: Tally
    divergences: Sequence[Divergence]
    #: Why the replay proves nothing without a divergence: data that the trace lacks.
    reasons: Sequence[str] = ()

    @property
    def verdict(self) -> str:
        """The verdict: consistent, divergent or inconclusive."""
        if self.divergences:
            return DIVERGENT
        return INCONCLUSIVE if self.reasons else CONSISTENT

    @property
    def exit_code(self) -> ExitCode:
        """The exit code: 0 if consistent, 1 if divergent, 4 if inconclusive."""
        return {
            DIVERGENT: ExitCode.FINDINGS,
            INCONCLUSIVE: ExitCode.INCONCLUSIVE,
            CONSISTENT: ExitCode.OK,
        }[self.verdict]

    @property
    def checked(self) -> int:
        """The number of events checked against a known state, including divergent ones."""
        return self.tally.events - self.tally.unknown

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object ``arenatrace.replay/1``."""
        tally = self.tally
        return {
            "schema": SCHEMA,
            "profile": self.profile,
            "profile_evidence": list(self.profile_evidence),
            "verdict": self.verdict,
            "reasons": list(self.reasons),
            "events": tally.events,
            "checked": self.checked,
            "predicted_addresses": tally.predicted_addresses,
            "unknown": tally.unknown,
            "reordered": tally.reordered,
            "reorder_window_ns": REORDER_WINDOW_NS,
            "unsettled_order": tally.unsettled,
            "install_races": tally.install_races,
            "unexplained_refusals": tally.unexplained,
            "stray_frees": tally.stray_frees,
            "divergence_count": max(tally.divergences, len(self.divergences)),
            "divergences": [asdict(divergence) for divergence in self.divergences],
        }
