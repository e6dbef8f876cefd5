"""Recorded, unrecorded and doubly recorded time of a boot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from arenatrace.trace.folder import Boot


@dataclass(frozen=True)
class Between:
    """Time between the end of one trace and the start of the next, ns; negative if they overlap."""

    after: Path
    before: Path
    duration_ns: int


@dataclass(frozen=True)
class BootTime:
    """Time from the first start to the last end, and its recorded part, ns.

    Both are None for a single trace of unknown times. ``gaps`` were not recorded, ``overlaps``
    were recorded by two traces.
    """

    span_ns: int | None
    recorded_ns: int | None
    gaps: tuple[Between, ...]
    overlaps: tuple[Between, ...]


def boot_time(boot: Boot, ends_ts_ns: list[int | None]) -> BootTime:
    """Return the ``BootTime`` of ``boot``; ``ends_ts_ns`` has the end of each of its traces."""
    if None in ends_ts_ns and len(ends_ts_ns) == 1:
        return BootTime(None, None, (), ())
    first = boot.members[0]
    gaps: list[Between] = []
    overlaps: list[Between] = []
    reached, last, recorded = first.meta.start_ts_ns, first, 0
    for member, end in zip(boot.members, ends_ts_ns, strict=True):
        start = member.meta.start_ts_ns
        if member is not first and start != reached:
            between = Between(last.path, member.path, start - reached)
            (gaps if start > reached else overlaps).append(between)
        # A trace without an end time has no events either.
        end = start if end is None else end
        recorded += max(0, end - max(start, reached))
        if end > reached:
            reached, last = end, member
    return BootTime(reached - first.meta.start_ts_ns, recorded, tuple(gaps), tuple(overlaps))
