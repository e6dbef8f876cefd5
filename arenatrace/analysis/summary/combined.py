"""Summary of several traces, by host and boot."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from arenatrace.analysis.summary.boot_coverage import Between, boot_time
from arenatrace.analysis.summary.many_traces import Part, parts, summary_of_part
from arenatrace.analysis.summary.one_trace import SCHEMA
from arenatrace.trace.folder import Boot, Collection

Row = dict[str, Any]

#: Identity of a program or an arena among the traces of a boot. Without the first member it is
#: distinct in each trace.
_PROGRAM_KEY = ("id", "tag", "name", "type")
_ARENA_KEY = ("map_id", "name", "kern_vm_start")
_COUNTS = ("faults", "scratch_installs", "prog_faults", "oopses", "allocs", "frees", "reserves")


def combined_summary(found: Collection, warn: Callable[[list[str]], None]) -> Row:
    """Return the object that ``arenatrace summary --json`` prints for several traces.

    It has the members of ``summary``, with ``trace`` null, plus ``boots``, one per host and boot
    with its ``traces``, times and totals, and ``unreadable``. Rows of ``programs`` and ``arenas``
    have ``boot``, an index into ``boots``, instead of their own index. A signature has
    ``first_trace``, the trace of its first fault, and the times of its first and last fault in
    UNIX ns by the clocks of the hosts; ``first_ts_ns`` and ``last_ts_ns`` are times of the boots
    of those faults.

    Args:
        found: the collection; its traces are read one after another.
        warn: called with the warnings of each trace.

    Raises the first error if no trace can be read.
    """
    summaries: list[tuple[Part, Row]] = []
    notices: list[str] = []

    def note(lines: list[str]) -> None:
        notices.extend(lines)
        warn(lines)

    for part in parts(found, note):
        one = summary_of_part(part)
        # Release the faults of one trace before the next is read.
        summaries.append((replace(part, faults=part.faults.clear()), one))
    if not summaries:
        raise found.unreadable[0].error
    objects = [one for _, one in summaries]
    boots: list[Row] = []
    programs: list[Row] = []
    arenas: list[Row] = []
    for number, boot in enumerate(found.boots):
        of_boot = [(part, one) for part, one in summaries if part.boot == number]
        if not of_boot:
            continue
        programs += _merged(_rows(of_boot, "programs", "prog"), _PROGRAM_KEY, len(boots))
        own_arenas = _merged(_rows(of_boot, "arenas", "arena"), _ARENA_KEY, len(boots))
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
        "signatures": _signatures(summaries),
        "notices": [*found.warnings, *notices],
    }


def _sum_totals(totals: Iterable[Row]) -> Row:
    every = list(totals)
    return {name: sum(one[name] for one in every) for name in every[0]}


def _boot(boot: Boot, summaries: list[tuple[Part, Row]], arenas: int) -> Row:
    # Traces of one boot share arenas and programs.
    programs = frozenset[tuple[object, ...]]().union(*(part.programs for part, _ in summaries))
    totals = _sum_totals(one["totals"] for _, one in summaries)
    paths = {part.trace.path for part, _ in summaries}
    read = Boot(tuple(member for member in boot.members if member.path in paths))
    times = boot_time(read, [part.end_ts_ns for part, _ in summaries])
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
            for part, one in summaries
        ],
    }


def _between(times: tuple[Between, ...]) -> list[Row]:
    return [
        {"after": str(one.after), "before": str(one.before), "duration_ns": abs(one.duration_ns)}
        for one in times
    ]


def _rows(summaries: list[tuple[Part, Row]], member: str, index: str) -> Iterable[Row]:
    for _, one in summaries:
        for row in one[member]:
            yield {name: value for name, value in row.items() if name != index}


def _merged(rows: Iterable[Row], key: tuple[str, ...], boot: int) -> list[Row]:
    """Merge rows of one key: counts and causes are added, other members are the last non-null."""
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


def _signatures(summaries: list[tuple[Part, Row]]) -> list[Row]:
    """Merge the signatures of all traces, most frequent first."""
    merged: dict[str, Row] = {}
    boots: dict[str, set[int]] = {}
    for part, one in summaries:
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
    """Return UNIX time in ns; None if the source had no clock or its offset is not known."""
    offset = part.trace.meta.wall_offset_ns
    return ts_ns + offset if ts_ns is not None and offset else None
