"""Losses of a trace: when they happened, and which of them concern the pages of arenas.

``meta.lost`` counts lost events by label; an event of kind ``lost`` is the mark of one loss, with
its kind, count and time stretch. Page analysis and replay read both through this module.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import polars as pl

from arenatrace.schema import DOUBTFUL_STACKS, LOST_NOTES, LOST_STACKS, Kind
from arenatrace.trace.meta import Meta

#: Reach back from an undated mark, ns. Marks without ``since_ts_ns`` were written by recorders
#: that looked for losses at each flush, nominally once a second. Those recorders ran at normal
#: priority and could be late, so one second is no upper bound.
UNDATED_REACH_NS = 5_000_000_000

#: Label of the torn end of the events. Events are written in order, so every event before the
#: end is there.
TORN = "torn tail"
#: Label of events that another program removed from a sealed trace.
REMOVED = "removed by another program"
#: Label of the unknown end of rewritten events without a sealed row count. Sequence numbers show
#: every missing event before it.
POSSIBLY_REMOVED = "possibly removed after the last event"
#: Label prefix of skipped runs of a probe that sends no event of its own; the probe's name follows.
MISSED_BY = "missed by "

#: Page operations, and the probe points that record each of them. One point is enough.
PAGE_PROBES: Mapping[str, tuple[str, ...]] = {
    "allocations": ("arena_alloc_pages", "bpf_arena_alloc_pages"),
    "frees": ("arena_free_pages", "bpf_arena_free_pages"),
    "reservations": ("bpf_arena_reserve_pages",),
    "drains": ("arena_free_worker",),
    "user faults": ("arena_vm_fault",),
}
_PAGE_POINTS = frozenset(point for points in PAGE_PROBES.values() for point in points)
#: Records kernel-side faults, which install scratch pages.
_SCRATCH_POINT = "bpf_arena_handle_page_fault"

#: Kinds that change no page and no arena. Memory of sched_ext lies in pages that it allocates
#: with an ordinary allocation.
_NO_CHANGE = (
    *(Kind.PROG_FAULT, Kind.PROG_LOAD, Kind.PROG_UNLOAD),
    *(Kind.KERNEL_ALLOC, Kind.KERNEL_FREE),
)
_HARMLESS_LABELS = frozenset({LOST_NOTES, LOST_STACKS, DOUBTFUL_STACKS, TORN, POSSIBLY_REMOVED})


@dataclass(frozen=True)
class LossReader:
    """A reader of a trace, by the losses that matter to it.

    Attributes:
        harmless: kinds whose loss does not matter. A kind unknown to this version matters.
        points: probe points whose skipped runs matter.
    """

    harmless: frozenset[Kind]
    points: frozenset[str]

    def concerns_label(self, label: str) -> bool:
        """Return whether a loss counted as ``label`` in ``meta.lost`` may matter."""
        if label.startswith(MISSED_BY):
            return any(label.endswith(f"__{point}") for point in self.points)
        return label not in _HARMLESS_LABELS and label not in {one.label for one in self.harmless}


#: Page history rests on the operations on pages. It does not need every kernel-side fault: a lost
#: one can hide a refault, but every recorded operation stays true. It does not need arena_mmap
#: either, because the user range of an arena is in the table ``arenas``.
PAGE_HISTORY = LossReader(
    frozenset({*_NO_CHANGE, Kind.KERNEL_FAULT, Kind.ARENA_MMAP}), _PAGE_POINTS
)
#: The model's state of an arena also rests on scratch installs and on the first mmap.
ARENA_STATE = LossReader(frozenset(_NO_CHANGE), _PAGE_POINTS | {_SCRATCH_POINT})


@dataclass(frozen=True)
class Losses:
    """Losses that matter to a reader.

    ``stretches`` are (first, last) times in ns, ascending and disjoint. ``undated`` counts lost
    events without a mark: they may have happened at any time.
    """

    stretches: tuple[tuple[int, int], ...] = ()
    undated: int = 0

    def __bool__(self) -> bool:
        return bool(self.stretches or self.undated)


def losses(events: pl.LazyFrame, lost: Mapping[str, int], reader: LossReader) -> Losses:
    """Read the losses that matter to ``reader``.

    Args:
        events: the table ``events``.
        lost: lost events by label, as ``Trace.lost`` has them.
        reader: ``PAGE_HISTORY`` or ``ARENA_STATE``.

    Raises polars errors for a damaged table.
    """
    marks = (
        events.filter(pl.col("kind") == int(Kind.LOST))
        .select(
            pl.col("since_ts_ns").fill_null(pl.col("ts_ns") - UNDATED_REACH_NS),
            "ts_ns",
            pl.col("ret").fill_null(0),
            pl.col("pages").fill_null(1).cast(pl.Int64),
        )
        .collect(engine="streaming")
        .filter(~pl.col("ret").is_in([int(kind) for kind in reader.harmless]))
        .sort("since_ts_ns")
    )
    counted = sum(count for label, count in lost.items() if reader.concerns_label(label))
    return Losses(
        disjoint(marks.select("since_ts_ns", "ts_ns").iter_rows()),
        max(0, counted - int(marks["pages"].sum())),
    )


def disjoint(stretches: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Merge overlapping (first, last) pairs; the input is in order of ``first``."""
    merged: list[tuple[int, int]] = []
    for first, last in stretches:
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return tuple(merged)


def label_of(code: int) -> str:
    """Return the label under which losses of kind ``code`` are counted."""
    return Kind(code).label if code in Kind._value2member_map_ else str(code)


def has_probe(meta: Meta, operation: str) -> bool:
    """Return whether a key of ``PAGE_PROBES`` was recorded; assumed if no probes are listed."""
    points = PAGE_PROBES[operation]
    if meta.probes.attached:
        return any(point in meta.probes.attached for point in points)
    return not any(missing.point in points for missing in meta.probes.missing)
