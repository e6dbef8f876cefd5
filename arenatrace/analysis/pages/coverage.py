"""How much does a trace know about the past of a page? What limits every answer about causes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from arenatrace.schema import Level
from arenatrace.trace.losses import PAGE_HISTORY, has_probe, losses
from arenatrace.trace.meta import Meta


@dataclass(frozen=True)
class Knowledge:
    """What a trace can know.

    ``blind`` says why nothing is known about pages, ``partial`` what part is not recorded; both
    null if all is. ``losses`` are the stretches of time in ns, ascending and apart, in which
    events about pages were lost; ``unmarked`` that some were lost nobody knows when;
    ``user_faults`` whether faults of user space are recorded.
    """

    blind: str | None = None
    partial: str | None = None
    losses: tuple[tuple[int, int], ...] = ()
    unmarked: bool = False
    user_faults: bool = True

    def gaps_since(self, since_ns: pl.Series, until_ns: pl.Series) -> pl.Series:
        """Whether events about pages may be lost between two times; null ``since`` is long ago."""
        # a stretch that is over before the first time does not count, nor does one that begins
        # after the second; the stretches are apart, so the first of the others decides
        ends = np.asarray([last for _, last in self.losses], np.int64)
        first = np.searchsorted(ends, since_ns.fill_null(-1).to_numpy(), side="right")
        never = np.iinfo(np.int64).max
        begins = np.asarray([*(begin for begin, _ in self.losses), never], np.int64)[first]
        reached = begins < until_ns.to_numpy()
        return pl.Series(reached | self.unmarked, dtype=pl.Boolean)


def knowledge(meta: Meta, lost: Mapping[str, int], events: pl.LazyFrame) -> Knowledge:
    """The ``Knowledge`` of a trace with these losses by label and these events."""
    missing = losses(events, lost, PAGE_HISTORY)
    return Knowledge(
        _blind(meta),
        _partial(meta),
        missing.stretches,
        missing.undated > 0,
        not meta.imported and not meta.filters.get("cgroup") and has_probe(meta, "user faults"),
    )


def _blind(meta: Meta) -> str | None:
    if meta.level == Level.FAULTS:
        return "recorded at level faults: allocations and frees of pages are not in the trace"
    if meta.filters.get("cgroup"):
        return "recorded with --cgroup: what other tasks did is not in the trace"
    for operation in ("allocations", "frees"):
        if not has_probe(meta, operation):
            return f"{operation} of pages could not be recorded on this kernel"
    return None


def _partial(meta: Meta) -> str | None:
    parts = [
        what
        for operation, what in (
            ("reservations", "reservations"),
            ("user faults", "pages that user space mapped"),
            ("drains", "when deferred frees took effect"),
        )
        if not has_probe(meta, operation)
    ]
    reasons = [f"not recorded on this kernel: {', '.join(parts)}"] if parts else []
    if meta.filters.get("program"):
        reasons.append(
            "recorded with --program: faults of other programs and what happened before the "
            "program was loaded are not in the trace"
        )
    return "; ".join(reasons) or None
