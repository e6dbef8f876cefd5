"""Faults and summaries of several traces; each fault and event counts once."""

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

#: Identity of a fault among the traces of a boot. The probe takes its time, so concurrent
#: recorders stamp one fault differently; the windows of one flight recorder stamp it alike.
_FAULT_KEY = ("ts_ns", "side", "kaddr", "ip", "task")
#: Identity of an event among the traces of a boot.
_EVENT_KEY = ("ts_ns", "seq", "kind", "tid")


@dataclass(frozen=True)
class Part:
    """An open trace of a collection, without faults and events of earlier traces of its boot.

    Attributes:
        trace: the open trace.
        boot: index of its boot in the collection.
        faults: rows of ``faults`` that no earlier trace has.
        events: events that no earlier trace has.
        end_ts_ns: end of the trace, ns; None if its times are not known.
        duplicates: number of faults left out.
        lost: number of lost events.
        programs: identities of its programs, without the recorder's own.
    """

    trace: Trace
    boot: int
    faults: pl.DataFrame
    events: pl.LazyFrame
    end_ts_ns: int | None
    duplicates: int
    lost: int
    programs: frozenset[tuple[object, ...]]


def parts(found: Collection, warn: Callable[[list[str]], None]) -> Iterator[Part]:
    """Yield the traces of ``found``, boot by boot.

    A trace that cannot be read is added to ``found.unreadable``. Only one trace is in memory at a
    time, with the identities of the faults before it.

    Args:
        found: the collection.
        warn: called with the warnings of each trace.
    """
    for number, boot in enumerate(found.boots):
        yield from _of_boot(found, number, boot, warn)


def _of_boot(
    found: Collection, number: int, boot: Boot, warn: Callable[[list[str]], None]
) -> Iterator[Part]:
    seen: pl.DataFrame | None = None
    earlier: list[tuple[Trace, int]] = []
    for member in boot.members:
        try:
            part = _part(member, number, seen, earlier)
        except ArenatraceError as error:
            found.unreadable.append(Unreadable(member.path, error))
            continue
        warn([f"{member.path}: {notice}" for notice in part.trace.warnings])
        if part.duplicates:
            text = f"{part.duplicates:,} faults are also in an earlier trace; they count once"
            warn([f"{member.path}: {text}"])
        yield part
        if len(boot.members) > 1:
            keys = part.faults.select(_FAULT_KEY)
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
        new = (
            every if seen is None else every.join(seen, on=_FAULT_KEY, how="anti", nulls_equal=True)
        )
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
    """Return the events of ``trace`` that no earlier trace has; ``earlier`` are (trace, end)."""
    events = trace.scan("events")
    start = trace.meta.start_ts_ns
    for other, end in earlier:
        if end < start:
            continue
        shared = other.scan("events").filter(pl.col("ts_ns") >= start).select(_EVENT_KEY)
        events = events.join(shared, on=_EVENT_KEY, how="anti", nulls_equal=True)
    return events


def summary_of_part(part: Part) -> dict[str, Any]:
    """Return the object of ``summary`` for a part."""
    with part.trace.reading():
        return summary_of(part.trace, part.faults.lazy(), part.events)
