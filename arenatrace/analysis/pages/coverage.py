"""How much of the history of pages a trace holds: the limits of every answer about causes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from arenatrace.schema import Level
from arenatrace.trace.losses import PAGE_HISTORY, has_probe, losses
from arenatrace.trace.meta import Meta


@dataclass(frozen=True)
class Coverage:
    """How much of the history of pages a trace holds.

    Attributes:
        no_history: why the trace has no page history at all, as a sentence; None if it has.
        partial: which operations or tasks are not recorded, as a sentence; None if all are.
        losses: (first, last) times in ns of losses of page operations, ascending and disjoint.
        has_undated_losses: page operations were lost at unknown times.
        has_user_faults: user faults are recorded.
    """

    no_history: str | None = None
    partial: str | None = None
    losses: tuple[tuple[int, int], ...] = ()
    has_undated_losses: bool = False
    has_user_faults: bool = True

    @property
    def has_losses(self) -> bool:
        """Whether page operations were lost."""
        return bool(self.losses) or self.has_undated_losses

    def has_gap(self, since_ns: pl.Series, until_ns: pl.Series) -> pl.Series:
        """Return for each row whether page operations may be lost between the two times.

        A null ``since_ns`` is before the start of the trace.
        """
        # Losses are disjoint, so the first one that ends after ``since_ns`` decides: is its
        # start before ``until_ns``?
        ends = np.asarray([last for _, last in self.losses], np.int64)
        index = np.searchsorted(ends, since_ns.fill_null(-1).to_numpy(), side="right")
        never = np.iinfo(np.int64).max
        starts = np.asarray([*(first for first, _ in self.losses), never], np.int64)[index]
        is_reached = starts < until_ns.to_numpy()
        return pl.Series(is_reached | self.has_undated_losses, dtype=pl.Boolean)


def read_coverage(meta: Meta, lost: Mapping[str, int], events: pl.LazyFrame) -> Coverage:
    """Return the coverage of a trace; ``lost`` counts lost events by label (``Trace.lost``)."""
    found = losses(events, lost, PAGE_HISTORY)
    return Coverage(
        _no_history(meta),
        _partial(meta),
        found.stretches,
        found.undated > 0,
        not meta.imported and not meta.filters.get("cgroup") and has_probe(meta, "user faults"),
    )


def _no_history(meta: Meta) -> str | None:
    if meta.level == Level.FAULTS:
        return "recorded at level faults: allocations and frees of pages are not in the trace"
    if meta.filters.get("cgroup"):
        return "recorded with --cgroup: operations of other tasks are not in the trace"
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
            "recorded with --program: faults of other programs, and events before the program was "
            "loaded, are not in the trace"
        )
    return "; ".join(reasons) or None
