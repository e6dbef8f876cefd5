"""The summary of several traces as one, by host and boot."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from arenatrace.analysis.summary.boot_coverage import Between, boot_time
from arenatrace.analysis.summary.many_traces import Part, parts, summary_of_part
from arenatrace.analysis.summary.one_trace import SCHEMA
from arenatrace.trace.folder import Boot, Collection

Row = dict[str, Any]

#: What makes a program or an arena of one boot the same in all its traces; one without the
#: first of these is the trace's own.
_PROGRAM = ("id", "tag", "name", "type")
_ARENA = ("map_id", "name", "kern_vm_start")
_COUNTS = ("faults", "scratch_installs", "prog_faults", "oopses", "allocs", "frees", "reserves")


def combined_summary(found: Collection, tell: Callable[[list[str]], None]) -> Row:
    """The object ``arenatrace summary --json`` prints for several traces.

    It has the members of ``summary`` with ``trace`` null, and ``boots``, one for each host and
    boot with its ``traces``, times and totals, and ``unreadable``. Rows of ``programs`` and
    ``arenas`` have ``boot``, the place of theirs in ``boots``, instead of an index. A signature
    tells in which trace its first fault is and, in UNIX ns by the clocks of the hosts, when its
    first and last were; ``first_ts_ns`` and ``last_ts_ns`` are of those faults' own boots.
    ``tell`` is given the notices of each trace. Each trace is read when its turn comes. Raises
    the first error if none can be read.
    """
    told: list[tuple[Part, Row]] = []
    notices: list[str] = []

    def note(lines: list[str]) -> None:
        notices.extend(lines)
        tell(lines)

    for part in parts(found, note):
        one = summary_of_part(part)
        # The faults of one trace go before the next is read.
        told.append((replace(part, faults=part.faults.clear()), one))
    if not told:
        raise found.unreadable[0].error
    objects = [one for _, one in told]
    boots: list[Row] = []
    programs: list[Row] = []
    arenas: list[Row] = []
    for number, boot in enumerate(found.boots):
        of_boot = [(part, one) for part, one in told if part.boot == number]
        if not of_boot:
            continue
        programs += _merged(_rows(of_boot, "programs", "prog"), _PROGRAM, len(boots))
        own_arenas = _merged(_rows(of_boot, "arenas", "arena"), _ARENA, len(boots))
        arenas += own_arenas
        boots.append(_boot(boot, of_boot, len(own_arenas)))
    return {
        "schema": SCHEMA,
        "trace": None,
        "boots": boots,
        "unreadable": [
            {"path": str(one.path), "error": one.error.message} for one in found.unreadable
        ],
        "totals": _sum_totals(boot["totals"] for boot in boots),
        "programs": sorted(programs, key=lambda row: -row["faults"]),
        "arenas": sorted(arenas, key=lambda row: -row["faults"]),
        "causes": _sum(one["causes"] for one in objects),
        "signatures": _signatures(told),
        "notices": [*found.notices, *notices],
    }


def _sum_totals(totals: Iterable[Row]) -> Row:
    every = list(totals)
    return {name: sum(one[name] for one in every) for name in every[0]}


def _boot(boot: Boot, told: list[tuple[Part, Row]], arenas: int) -> Row:
    # Traces of one boot tell of the same arenas and programs.
    programs = frozenset[tuple[object, ...]]().union(*(part.programs for part, _ in told))
    totals = _sum_totals(one["totals"] for _, one in told)
    paths = {part.trace.path for part, _ in told}
    read = Boot(tuple(member for member in boot.members if member.path in paths))
    times = boot_time(read, [part.end_ts_ns for part, _ in told])
    meta = read.meta
    return {
        "hostname": meta.hostname,
        "boot_id": meta.boot_id,
        "kernel": meta.kernel,
        "arch": meta.arch,
        "span_ns": times.span_ns,
        "recorded_ns": times.recorded_ns,
        "gaps": _between(times.gaps),
        "overlaps": _between(times.overlaps),
        "totals": {**totals, "arenas": arenas, "programs": len(programs)},
        "traces": [
            {**one["trace"], "start_ts_ns": part.trace.meta.start_ts_ns, "totals": one["totals"]}
            for part, one in told
        ],
    }


def _between(times: tuple[Between, ...]) -> list[Row]:
    return [
        {"after": str(one.after), "before": str(one.before), "duration_ns": abs(one.duration_ns)}
        for one in times
    ]


def _rows(told: list[tuple[Part, Row]], member: str, index: str) -> Iterable[Row]:
    for _, one in told:
        for row in one[member]:
            yield {name: value for name, value in row.items() if name != index}


def _merged(rows: Iterable[Row], key: tuple[str, ...], boot: int) -> list[Row]:
    """Rows of the same thing as one: counts and causes added up, else what the last says."""
    merged: dict[tuple[Any, ...], Row] = {}
    for number, row in enumerate(rows):
        identity = tuple(row[name] for name in key) if row[key[0]] is not None else (number,)
        old = merged.get(identity)
        if old is None:
            merged[identity] = {"boot": boot, **row}
            continue
        for name, value in row.items():
            if name in _COUNTS:
                old[name] += value
            elif name == "causes":
                old[name] = _sum([old[name], value])
            elif value is not None:
                old[name] = value
    return list(merged.values())


def _sum(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for one in counts:
        for name, number in one.items():
            total[name] = total.get(name, 0) + number
    return dict(sorted(total.items(), key=lambda item: -item[1]))


def _signatures(told: list[tuple[Part, Row]]) -> list[Row]:
    """One row per signature, most frequent first; the first fault is the first told of."""
    merged: dict[str, Row] = {}
    boots: dict[str, set[int]] = {}
    for part, one in told:
        for row in one["signatures"]:
            first, last = (_wall(part, row[name]) for name in ("first_ts_ns", "last_ts_ns"))
            boots.setdefault(row["signature"], set()).add(part.boot)
            old = merged.setdefault(
                row["signature"],
                {
                    **row,
                    "count": 0,
                    "oopses": 0,
                    "first_trace": str(part.trace.path),
                    "first_wall_ns": first,
                    "last_wall_ns": last,
                    "traces": 0,
                },
            )
            old["traces"] += 1
            old["count"] += row["count"]
            old["oopses"] += row["oopses"]
            if last is not None and (old["last_wall_ns"] is None or last > old["last_wall_ns"]):
                old |= {"last_wall_ns": last, "last_ts_ns": row["last_ts_ns"]}
    for signature, row in merged.items():
        row["boots"] = len(boots[signature])
    return sorted(merged.values(), key=lambda row: -row["count"])


def _wall(part: Part, ts_ns: int | None) -> int | None:
    """UNIX time in ns; null where the source had no clock, or its offset is not known."""
    offset = part.trace.meta.wall_offset_ns
    return ts_ns + offset if ts_ns is not None and offset else None
