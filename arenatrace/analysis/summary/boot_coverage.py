"""What part of a boot did its traces record, and what of it twice?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from arenatrace.trace.folder import Boot


@dataclass(frozen=True)
class Between:
    """The time between the end of one trace and the start of the next, in ns.

    Below 0 they overlap by so much.
    """

    after: Path
    before: Path
    duration_ns: int


@dataclass(frozen=True)
class BootTime:
    """The time from the first start to the last end and how much of it was recorded, in ns.

    Null for a single trace whose times are not known. ``gaps`` are unrecorded, ``overlaps``
    recorded by two traces.
    """

    span_ns: int | None
    recorded_ns: int | None
    gaps: tuple[Between, ...]
    overlaps: tuple[Between, ...]


def boot_time(boot: Boot, ends_ts_ns: list[int | None]) -> BootTime:
    """The ``BootTime`` of ``boot``; ``ends_ts_ns`` has the end of each of its traces."""
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
        # A trace that ends nowhere has no event either.
        end = start if end is None else end
        recorded += max(0, end - max(start, reached))
        if end > reached:
            reached, last = end, member
    return BootTime(reached - first.meta.start_ts_ns, recorded, tuple(gaps), tuple(overlaps))
