"""A replay's verdict as text, at most 79 columns where names allow it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from arenatrace.model.replay.reorder import REORDER_WINDOW_NS
from arenatrace.report.sanitize import harmless

if TYPE_CHECKING:
    from arenatrace.model.replay.arena_replay import Divergence
    from arenatrace.model.replay.verdict import ReplayResult
    from arenatrace.model.what_if import WhatIf

#: Divergences and differences shown in full; --json has them all.
MAX_SHOWN = 20


def replay_lines(result: ReplayResult) -> Iterator[str]:
    """The verdict, what it rests on, and each divergence."""
    tally = result.tally
    yield f"{result.verdict.upper()}  profile {result.profile}"
    for evidence in result.profile_evidence:
        yield f"  because {harmless(evidence)}"
    for reason in result.reasons:
        yield f"  inconclusive: {harmless(reason)}"
    yield ""
    yield f"  events     {tally.events:>12,}"
    yield f"  checked    {result.checked:>12,}"
    yield f"  predicted  {tally.predicted_addresses:>12,}  addresses of allocations"
    yield f"  unknown    {tally.unknown:>12,}  nothing known to check them against"
    window = REORDER_WINDOW_NS // 1_000_000
    yield f"  reordered  {tally.reordered:>12,}  took effect in another order (within {window} ms)"
    if tally.install_races:
        yield f"  races      {tally.install_races:>12,}  two CPUs filled the same empty page"
    if tally.unsettled:
        yield f"  unsettled  {tally.unsettled:>12,}  too much overlapped to find the order"
    if tally.unexplained:
        yield f"  refused    {tally.unexplained:>12,}  for no reason in the trace (memory, a lock)"
    if tally.stray_frees:
        yield f"  stray      {tally.stray_frees:>12,}  frees of pages that were not allocated"
    yield f"  divergent  {max(tally.divergences, len(result.divergences)):>12,}"
    yield from _divergences(result)


def _divergences(result: ReplayResult) -> Iterator[str]:
    for divergence in result.divergences[:MAX_SHOWN]:
        yield ""
        yield from _divergence(divergence)
    rest = max(result.tally.divergences, len(result.divergences)) - MAX_SHOWN
    if rest > 0:
        yield ""
        yield f"  and {rest:,} more (--json has them)"


def _divergence(divergence: Divergence) -> Iterator[str]:
    page = "" if divergence.page is None else f", page {divergence.page}"
    yield f"seq {divergence.seq}  {divergence.kind}, arena {divergence.arena}{page}"
    yield f"  expected  {divergence.expected}"
    yield f"  observed  {divergence.observed}"
    yield f"  {divergence.explanation}"


def what_if_lines(other: WhatIf) -> Iterator[str]:
    """What the other profile would have done differently."""
    yield ""
    yield f"what if: {other.profile} instead of {other.instead_of}"
    yield f"  events that would have gone otherwise  {other.count:,} of {other.events:,}"
    for what, count in sorted(other.kinds.items()):
        yield f"  {count:>12,}  {what}"
    for difference in other.differences[:MAX_SHOWN]:
        yield ""
        yield f"seq {difference.seq}  {difference.kind}, arena {difference.arena}"
        yield f"  recorded     {difference.recorded}"
        yield f"  would be     {difference.would_be}"
        yield f"  {difference.explanation}"
    if other.count > MAX_SHOWN:
        yield ""
        yield f"  and {other.count - MAX_SHOWN:,} more (--json has the first ones)"
