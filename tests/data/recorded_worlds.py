"""Oracle worlds of a recorded trace, converted row by row."""

from __future__ import annotations

from typing import Any

from arenatrace.schema import Kind, Outcome
from arenatrace.trace.reader import Trace
from tests.unit.analysis.oracle.world import BAND, GUARD, PAGE, Event, World

Row = dict[str, Any]

#: Probe points that record reservations and drains.
_OPERATION_PROBES = frozenset({"bpf_arena_reserve_pages", "arena_free_worker"})


def worlds(trace: Trace) -> list[World]:
    """Return one world per arena, by index; the trace is at level ``pages`` and has no losses."""
    arenas = sorted(trace.scan("arenas").collect().iter_rows(named=True), key=_index)
    assert [arena["arena"] for arena in arenas] == list(range(len(arenas)))
    rows = [
        {
            "preexisting": arena["preexisting"],
            "created": arena["create_ts_ns"],
            "destroyed": arena["destroy_ts_ns"],
        }
        for arena in arenas
    ]
    sticky = trace.meta.profile == "scratch-sticky"
    lacks_operations = not _OPERATION_PROBES.issubset(trace.meta.probes.attached)
    found = [World([], rows, sticky=sticky, lacks_operations=lacks_operations) for _ in arenas]
    events = trace.scan("events").collect().iter_rows(named=True)
    for row in sorted(events, key=lambda row: (row["ts_ns"], row["seq"])):
        assert row["kind"] != Kind.LOST
        if row["arena"] is not None:
            event = _event(row, arenas[row["arena"]])
            found[row["arena"]].events.append(event)
    return found


def _index(arena: Row) -> int:
    index: int = arena["arena"]
    return index


def _event(row: Row, arena: Row) -> Event:
    shared = {name: row[name] for name in ("arena", "tid", "seq")} | {"ts": row["ts_ns"]}
    kind = Kind(row["kind"])
    if kind in (Kind.KERNEL_FAULT, Kind.PROG_FAULT):
        return {**shared, **_fault(row, arena, "kernel" if kind is Kind.KERNEL_FAULT else "prog")}
    what, ok = _operation(kind, row)
    first = row["pgoff"]
    count = 1 if what == "user" or row["pages"] is None else row["pages"]
    # Without a first page the range is unknown. No range reaches past the end of the arena.
    count = 0 if first is None else max(0, min(count, arena["max_entries"] - first))
    if not count and what != "drain":
        what = "nothing"
    return {**shared, "what": what, "first": first, "count": count, "ok": ok}


def _operation(kind: Kind, row: Row) -> tuple[str, bool]:
    match kind:
        case Kind.PAGE_ALLOC:
            return "alloc", row["ret"] != 0
        case Kind.PAGE_FREE:
            return ("free" if row["sleepable"] else "free-later"), True
        case Kind.PAGE_RESERVE:
            # For a misaligned address the kernel reserves nothing and returns 0.
            return ("nothing" if row["addr"] % PAGE else "reserve"), row["ret"] == 0
        case Kind.FREE_DRAIN:
            return "drain", True
        case Kind.USER_FAULT if row["outcome"] in (Outcome.MAPPED, Outcome.SIGSEGV):
            return "user", row["outcome"] == Outcome.MAPPED
    return "nothing", True


def _fault(row: Row, arena: Row, side: str) -> Event:
    low = arena["user_vm_start"] % BAND
    start = row["addr"] - arena["kern_vm_start"]
    inside = 0 <= start < BAND
    assert -GUARD <= start < BAND + GUARD
    page = (start - low) % BAND // PAGE if inside else None
    near_the_end = page is not None and page >= BAND // PAGE - 8
    return {
        "what": "fault",
        "side": side,
        "page": page,
        # The last pages of the band lie before page 0.
        "position": page - BAND // PAGE if page is not None and near_the_end else page,
        "offset": start % PAGE,
        "size": arena["max_entries"],
        "null": inside and start < PAGE,
        "outcome": Outcome(row["outcome"]).label,
    }
