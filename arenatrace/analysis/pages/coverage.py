"""How much does a trace know about the past of a page? What limits every answer about causes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from arenatrace.schema import DOUBTFUL_STACKS, LOST_NOTES, LOST_STACKS, Kind
from arenatrace.trace.meta import Meta

#: How long before its mark a loss may have happened that does not say since when. A recorder
#: looks for losses once a second; five leave room for one that was kept from running.
LOSS_REACH_NS = 5_000_000_000

#: Kinds whose loss can change what is known about a page; 0 is a loss of unknown kind.
_RELEVANT = (
    0,
    *(
        int(kind)
        for kind in (
            Kind.ARENA_CREATE,
            Kind.ARENA_DESTROY,
            Kind.PAGE_ALLOC,
            Kind.PAGE_FREE,
            Kind.FREE_DRAIN,
            Kind.PAGE_RESERVE,
            Kind.USER_FAULT,
            Kind.LOST,
        )
    ),
)
_IRRELEVANT_LABELS = frozenset(
    {
        LOST_NOTES,
        LOST_STACKS,
        DOUBTFUL_STACKS,
        "torn tail",
        *(kind.label for kind in Kind if int(kind) not in _RELEVANT),
    }
)
#: Probes that see what happens to pages.
_PAGE_PROBES = ("alloc_pages", "free_pages", "free_worker", "reserve_pages", "vm_fault")


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


def knowledge(meta: Meta, lost: dict[str, int], events: pl.LazyFrame) -> Knowledge:
    """The ``Knowledge`` of a trace with these losses by label and these events."""
    marks = (
        events.filter(pl.col("kind") == int(Kind.LOST))
        .select(
            pl.col("since_ts_ns").fill_null(pl.col("ts_ns") - LOSS_REACH_NS),
            "ts_ns",
            pl.col("ret").fill_null(0),
            pl.col("pages").fill_null(1),
        )
        .collect(engine="streaming")
    )
    relevant = marks.filter(pl.col("ret").is_in(_RELEVANT))
    counted = sum(count for label, count in lost.items() if count and _may_concern_pages(label))
    return Knowledge(
        _blind(meta),
        _partial(meta),
        _stretches(relevant.select("since_ts_ns", "ts_ns").sort("since_ts_ns")),
        counted > marks["pages"].cast(pl.Int64).sum(),
        not meta.imported and not meta.filters.get("cgroup") and _has_probe(meta, "vm_fault"),
    )


def _stretches(marks: pl.DataFrame) -> tuple[tuple[int, int], ...]:
    """First and last times, ascending, with those that overlap made one."""
    apart: list[tuple[int, int]] = []
    for first, last in marks.iter_rows():
        if apart and first <= apart[-1][1]:
            apart[-1] = (apart[-1][0], max(last, apart[-1][1]))
        else:
            apart.append((first, last))
    return tuple(apart)


def _may_concern_pages(label: str) -> bool:
    if label.startswith("missed by "):
        return any(probe in label for probe in _PAGE_PROBES)
    return label not in _IRRELEVANT_LABELS


def _has_probe(meta: Meta, name: str) -> bool:
    """Whether a probe on a function of that name was attached; assumed if none is listed."""
    if any(name in missing.point for missing in meta.probes.missing):
        return False
    return not meta.probes.attached or any(name in point for point in meta.probes.attached)


def _blind(meta: Meta) -> str | None:
    if meta.level == "faults":
        return "recorded at level faults: allocations and frees of pages are not in the trace"
    if meta.filters.get("cgroup"):
        return "recorded with --cgroup: what other tasks did is not in the trace"
    for name, what in (("alloc_pages", "allocations"), ("free_pages", "frees")):
        if not _has_probe(meta, name):
            return f"{what} of pages could not be recorded on this kernel"
    return None


def _partial(meta: Meta) -> str | None:
    parts = [
        what
        for name, what in (
            ("reserve_pages", "reservations"),
            ("vm_fault", "pages that user space mapped"),
            ("free_worker", "when deferred frees took effect"),
        )
        if not _has_probe(meta, name)
    ]
    reasons = [f"not recorded on this kernel: {', '.join(parts)}"] if parts else []
    if meta.filters.get("program"):
        reasons.append(
            "recorded with --program: faults of other programs and what happened before the "
            "program was loaded are not in the trace"
        )
    return "; ".join(reasons) or None
