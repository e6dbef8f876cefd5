"""Verdict of a replay as text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from arenatrace.model.replay.reorder import REORDER_WINDOW_NS
from arenatrace.report.sanitize import harmless

if TYPE_CHECKING:
    from arenatrace.model.replay.arena_replay import Divergence
    from arenatrace.model.replay.verdict import ReplayResult
    from arenatrace.model.what_if import WhatIf

#: Divergences and differences printed in full.
MAX_SHOWN = 20


def replay_lines(result: ReplayResult) -> Iterator[str]:
    """Yield the verdict, its basis, and each divergence."""
    tally = result.tally
    yield f"{result.verdict.upper()}  profile {result.profile}"
    for evidence in result.profile_evidence:
        yield f"  basis: {harmless(evidence)}"
    for reason in result.reasons:
        yield f"  inconclusive: {harmless(reason)}"
    yield ""
    yield f"  events     {tally.events:>12,}"
    yield f"  checked    {result.checked:>12,}"
    yield f"  predicted  {tally.predicted_addresses:>12,}  addresses of allocations"
    yield f"  unknown    {tally.unknown:>12,}  not checkable: earlier page state unknown"
    window = REORDER_WINDOW_NS // 1_000_000
    yield f"  reordered  {tally.reordered:>12,}  applied in another order (within {window} ms)"
    if tally.install_races:
        yield f"  races      {tally.install_races:>12,}  two CPUs filled the same empty page"
    if tally.unsettled:
        yield f"  unsettled  {tally.unsettled:>12,}  order not found: too many overlapping events"
    if tally.unexplained:
        yield f"  refused    {tally.unexplained:>12,}  reason not in the trace (memory, a lock)"
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
        yield f"  and {rest:,} more (--json lists all)"


def _divergence(divergence: Divergence) -> Iterator[str]:
    page = "" if divergence.page is None else f", page {divergence.page}"
    yield f"seq {divergence.seq}  {divergence.kind}, arena {divergence.arena}{page}"
    yield f"  expected  {divergence.expected}"
    yield f"  observed  {divergence.observed}"
    yield f"  {divergence.explanation}"


def what_if_lines(other: WhatIf) -> Iterator[str]:
    """Yield the differences that another profile would make."""
    yield ""
    yield f"what if: {other.profile} instead of {other.instead_of}"
    yield f"  events that differ  {other.count:,} of {other.events:,}"
    for kind, count in sorted(other.kinds.items()):
        yield f"  {count:>12,}  {kind}"
    for difference in other.differences[:MAX_SHOWN]:
        yield ""
        yield f"seq {difference.seq}  {difference.kind}, arena {difference.arena}"
        yield f"  recorded     {difference.recorded}"
        yield f"  would be     {difference.would_be}"
        yield f"  {difference.explanation}"
    if other.count > MAX_SHOWN:
        yield ""
        yield f"  and {other.count - MAX_SHOWN:,} more (--json lists the first ones)"
