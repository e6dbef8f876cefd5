"""The faults and the summaries of several traces, each fault and each event once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl

from arenatrace.analysis.faults import faults as fault_rows
from arenatrace.analysis.summary.one_trace import duration_ns, summary_of
from arenatrace.analysis.totals import lost
from arenatrace.errors import ArenatraceError
from arenatrace.trace.folder import Boot, Collection, Member, Unreadable
from arenatrace.trace.reader import Trace, open_trace

#: What makes a fault one fault, whichever trace of the boot tells of it. Its time is taken by
#: the probe: recorders that run side by side stamp it differently, one recorder's windows alike.
_FAULT = ("ts_ns", "side", "kaddr", "ip", "task")
#: The same of an event.
_EVENT = ("ts_ns", "seq", "kind", "tid")


@dataclass(frozen=True)
class Part:
    """A trace of a collection, opened, with the faults that no earlier one of its boot has.

    ``events`` are likewise those that none has; ``end_ts_ns`` is where the trace ends, null if
    its times are not known; ``again`` counts faults left out, ``lost`` events that were lost.
    """

    trace: Trace
    boot: int
    faults: pl.DataFrame
    events: pl.LazyFrame
    end_ts_ns: int | None
    again: int
    lost: int
    #: What tells its programs, without the recorder's own, from others of the same boot.
    programs: frozenset[tuple[object, ...]]


def parts(found: Collection, tell: Callable[[list[str]], None]) -> Iterator[Part]:
    """The traces of ``found`` one after another, boot by boot; ``tell`` is given their notices.

    One that cannot be read is added to ``found.unreadable``. Only one trace is held at a time,
    and of those before it the faults' identities.
    """
    for number, boot in enumerate(found.boots):
        yield from _of_boot(found, number, boot, tell)


def _of_boot(
    found: Collection, number: int, boot: Boot, tell: Callable[[list[str]], None]
) -> Iterator[Part]:
    seen: pl.DataFrame | None = None
    earlier: list[tuple[Trace, int]] = []
    for member in boot.members:
        try:
            part = _part(member, number, seen, earlier)
        except ArenatraceError as error:
            found.unreadable.append(Unreadable(member.path, error))
            continue
        tell([f"{member.path}: {notice}" for notice in part.trace.notices])
        if part.again:
            again = f"{part.again:,} faults are in an earlier trace too, counted once"
            tell([f"{member.path}: {again}"])
        yield part
        if len(boot.members) > 1:
            keys = part.faults.select(_FAULT)
            seen = keys if seen is None else pl.concat([seen, keys])
            if part.end_ts_ns is not None:
                earlier.append((part.trace, part.end_ts_ns))


def _part(
    member: Member, boot: int, seen: pl.DataFrame | None, earlier: list[tuple[Trace, int]]
) -> Part:
    trace = open_trace(member.path)
    with trace.reading():
        every = fault_rows(trace).collect()
        end = trace.scan("events").select(pl.col("ts_ns").max()).collect().item()
        new = every if seen is None else every.join(seen, on=_FAULT, how="anti", nulls_equal=True)
        duration = duration_ns(trace.meta, end)
        return Part(
            trace,
            boot,
            new.sort("fault"),
            _new_events(trace, earlier),
            None if duration is None else trace.meta.start_ts_ns + duration,
            len(every) - len(new),
            lost(trace),
            _programs(trace),
        )


def _programs(trace: Trace) -> frozenset[tuple[object, ...]]:
    others = trace.scan("programs").filter(~pl.col("own").fill_null(value=False))
    return frozenset(others.select("id", "tag", "name", "load_ts_ns").collect().iter_rows())


def _new_events(trace: Trace, earlier: list[tuple[Trace, int]]) -> pl.LazyFrame:
    """The events of ``trace`` that are in none of the ``earlier`` traces, which end then."""
    events = trace.scan("events")
    start = trace.meta.start_ts_ns
    for other, end in earlier:
        if end < start:
            continue
        shared = other.scan("events").filter(pl.col("ts_ns") >= start).select(_EVENT)
        events = events.join(shared, on=_EVENT, how="anti", nulls_equal=True)
    return events


def summary_of_part(part: Part) -> dict[str, Any]:
    """The object of ``summary`` for a part, without what an earlier trace has told."""
    with part.trace.reading():
        return summary_of(part.trace, part.faults.lazy(), part.events)
