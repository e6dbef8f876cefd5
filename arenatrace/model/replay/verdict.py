"""What a replay says of a trace, from the parts that were replayed apart."""

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

#: Divergences kept in full for each group of arenas; beyond it they are only counted.
MAX_KEPT = 10_000

Proofs = dict[str, tuple[int, str]]


@dataclass
class Part:
    """The result of one group of arenas. Plain data: it crosses process boundaries."""

    tally: Tally = field(default_factory=Tally)
    divergences: list[Divergence] = field(default_factory=list)
    proofs: Proofs = field(default_factory=dict)

    def keep(self, divergence: Divergence) -> None:
        """Note a divergence; the first ones are kept in full."""
        if len(self.divergences) < MAX_KEPT:
            self.divergences.append(divergence)

    def close(self, replay: ArenaReplay) -> None:
        """Add what an arena came to."""
        replay.finish()
        self.tally.add(replay.tally)
        merge_proofs(self.proofs, replay.proofs)


def merge_proofs(into: Proofs, more: Mapping[str, tuple[int, str]]) -> None:
    """Keep the earliest proof of each kind."""
    for name, proof in more.items():
        if name not in into or proof < into[name]:
            into[name] = proof


def merge(parts: Iterable[Part]) -> Part:
    """One part of all of them, divergences in the order of the trace."""
    whole = Part()
    for part in parts:
        whole.tally.add(part.tally)
        whole.divergences += part.divergences
        merge_proofs(whole.proofs, part.proofs)
    whole.divergences.sort(key=lambda divergence: (divergence.ts_ns, divergence.seq))
    return whole


@dataclass(frozen=True)
class Replay:
    """The verdict on a trace and everything it rests on."""

    profile: str
    profile_evidence: Sequence[str]
    tally: Tally
    divergences: Sequence[Divergence]
    #: Why nothing definite can be said, where the trace lacks what a verdict needs.
    reasons: Sequence[str] = ()

    @property
    def verdict(self) -> str:
        """consistent, divergent or inconclusive."""
        if self.divergences:
            return DIVERGENT
        return INCONCLUSIVE if self.reasons else CONSISTENT

    @property
    def exit_code(self) -> ExitCode:
        """0 consistent, 1 divergent, 4 inconclusive."""
        return {
            DIVERGENT: ExitCode.FINDINGS,
            INCONCLUSIVE: ExitCode.INCONCLUSIVE,
            CONSISTENT: ExitCode.OK,
        }[self.verdict]

    @property
    def checked(self) -> int:
        """Events that were held against a known state, divergent ones included."""
        return self.tally.events - self.tally.unknown

    def to_dict(self) -> dict[str, Any]:
        """The JSON object ``arenatrace.replay/1``."""
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
