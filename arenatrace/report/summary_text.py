"""Summary as text: fault counts, worst signature, causes, then tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from arenatrace.report.boots_text import boot_lines, boot_name
from arenatrace.report.sanitize import harmless
from arenatrace.report.units import count, origin, seconds, size
from arenatrace.schema import PAGE_SIZE, Level

#: Number of signatures printed; the rest are only counted.
MAX_SIGNATURES = 10


def print_summary(summary: Mapping[str, Any], console: Console) -> None:
    """Write ``summary``, the object of ``summary --json``, to ``console``."""
    for part in _parts(summary):
        console.print(part)


def _parts(summary: Mapping[str, Any]) -> Iterator[RenderableType]:
    totals = summary["totals"]
    yield _headline(totals)
    yield from _top_signatures(summary["signatures"])
    yield from _cause_counts(summary["causes"])
    trace = summary["trace"]
    yield from [_trace(trace)] if trace is not None else boot_lines(summary)
    if totals["lost"]:
        lost = count(totals["lost"], "event")
        yield Text(f"At least {lost} lost: the numbers below may be too low.", "bold red")
    if summary["signatures"]:
        yield Text()
        yield _signatures(summary["signatures"])
        if len(summary["signatures"]) > MAX_SIGNATURES:
            yield Text(
                f"… and {len(summary['signatures']) - MAX_SIGNATURES} more (--json lists all)"
            )
    if summary["programs"]:
        yield Text()
        imported = trace is not None and "imported" in trace
        without_arena = "arena unknown" if imported else "no arena"
        yield _programs(summary["programs"], without_arena, _hosts(summary))
    if summary["arenas"]:
        yield Text()
        yield _arenas(summary["arenas"], totals["lost"], _hosts(summary))
    yield Text()
    yield _activity(summary)


def _hosts(summary: Mapping[str, Any]) -> list[str]:
    """Return a suffix for each boot; one empty string if there is only one boot."""
    boots = summary.get("boots", [])
    return [f", on {boot_name(boot)}" for boot in boots] if len(boots) > 1 else [""]


def _headline(totals: Mapping[str, int]) -> Text:
    faults = totals["kernel_faults"] + totals["prog_faults"]
    if not faults:
        verb = "recorded" if totals["lost"] else "found"
        return Text(f"No arena faults {verb}.", "bold" if totals["lost"] else "bold green")
    kinds = [
        (totals["oopses"], count(totals["oopses"], "kernel oops", "kernel oopses")),
        (
            totals["scratch_installs"],
            f"{totals['scratch_installs']:,} kernel-side (scratch page installed)",
        ),
        (totals["prog_faults"], f"{totals['prog_faults']:,} program-side"),
    ]
    other = faults - sum(number for number, _ in kinds)
    kinds.append((max(0, other), f"{other:,} kernel-side (already mapped, or outcome unknown)"))
    text = f"{count(faults, 'arena fault')}: " + ", ".join(part for number, part in kinds if number)
    return Text(text.removesuffix(": "), "bold red" if totals["oopses"] else "bold yellow")


def _top_signatures(signatures: list[Mapping[str, Any]]) -> Iterator[Text]:
    if not signatures:
        return
    first = signatures[0]
    yield Text(f"Top fault ({count(first['count'], 'time')}): {harmless(first['title'])}")
    oops = next((one for one in signatures if one["oopses"]), None)
    if oops is not None and oops is not first:
        yield Text(f"Oops: {harmless(oops['title'])}")


def _cause_counts(causes: Mapping[str, int]) -> Iterator[Text]:
    if causes:
        yield Text("Causes: " + ", ".join(f"{harmless(name)} {n:,}" for name, n in causes.items()))


def _trace(trace: Mapping[str, Any]) -> Text:
    details = [
        f"Linux {harmless(trace['kernel'])} {harmless(trace['arch'])}",
        seconds(trace["duration_ns"]),
    ]
    if not trace["sealed"]:
        details.append("not sealed")
    return Text(f"{', '.join(details)}: {harmless(trace['path'])}", "dim")


def _table(rows: list[Mapping[str, Any]], numbers: Mapping[str, str], last: str) -> Table:
    """Return a table with a column for each of ``numbers`` (heading to key) that is not all 0."""
    table = Table(box=None, pad_edge=False, show_header=True, header_style="bold")
    for heading in _shown(rows, numbers):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column(last, overflow="fold", ratio=1)
    return table


def _shown(rows: list[Mapping[str, Any]], numbers: Mapping[str, str]) -> dict[str, str]:
    return {
        heading: member
        for heading, member in numbers.items()
        if any(row[member] != 0 for row in rows)
    }


#: Numbers printed without a thousands separator.
_IDS = ("id", "map_id", "first_fault")


def _cells(row: Mapping[str, Any], shown: Mapping[str, str]) -> Iterator[Text]:
    for member in shown.values():
        value = row[member]
        if isinstance(value, int) and member not in _IDS:
            yield Text(f"{value:,}")
        else:
            yield Text("?" if value is None else harmless(str(value)))


def _signatures(rows: list[Mapping[str, Any]]) -> Table:
    rows = rows[:MAX_SIGNATURES]
    numbers = {"faults": "count", "oopses": "oopses", "first": "first_fault", "cause": "cause"}
    several = "first_trace" in rows[0]
    if several:
        # Fault numbers are valid only within one trace.
        del numbers["first"]
    table = _table(rows, numbers, "access")
    for row in rows:
        text = harmless(row["title"])
        if several:
            traces = f" ({row['traces']:,} traces)" if row["traces"] > 1 else ""
            text += f"\nfirst: {harmless(row['first_trace'])} {row['first_fault']}{traces}"
        table.add_row(*_cells(row, _shown(rows, numbers)), Text(text))
    return table


def _programs(rows: list[Mapping[str, Any]], without_arena: str, hosts: list[str]) -> Table:
    numbers = {
        "scratched": "scratch_installs",
        "program-side": "prog_faults",
        "oopses": "oopses",
        "id": "id",
    }
    table = _table(rows, numbers, "program")
    for row in rows:
        kind = f" ({harmless(row['type'])})" if row["type"] else ""
        arena = f", {without_arena}" if row["arena"] is None else ""
        causes = ", ".join(f"{harmless(name)} {n:,}" for name, n in row["causes"].items())
        host = hosts[row.get("boot", 0)]
        name = f"{harmless(row['name'] or 'unnamed')}{kind}{arena}{host}"
        text = f"{name}: {causes}" if causes else name
        table.add_row(*_cells(row, _shown(rows, numbers)), Text(text))
    return table


def _arenas(rows: list[Mapping[str, Any]], lost: int, hosts: list[str]) -> Table:
    numbers = {"faults": "faults", "allocs": "allocs", "frees": "frees", "map id": "map_id"}
    table = _table(rows, numbers, "arena")
    for row in rows:
        details = [harmless(row["name"] or "unnamed"), size(row["max_entries"], PAGE_SIZE)]
        if row["preexisting"]:
            details.append(origin(lost=lost))
        host = hosts[row.get("boot", 0)]
        table.add_row(*_cells(row, _shown(rows, numbers)), Text(", ".join(details) + host))
    return table


def _activity(summary: Mapping[str, Any]) -> Text:
    """Return the counts of operations that are not 0."""
    totals = summary["totals"]
    counts = [
        _counted(totals["allocs"], "page allocation", totals["allocs_refused"], "more refused"),
        _counted(totals["frees"], "free"),
        _counted(totals["reserves"], "reservation", totals["reserves_refused"], "more refused"),
        _counted(totals["user_faults"], "user fault", totals["user_sigsegv"], "SIGSEGV"),
    ]
    parts = [
        *(text for text in counts if text),
        count(totals["arenas"], "arena"),
        count(totals["programs"], "program"),
    ]
    text = f"{count(totals['events'], 'event')}: {', '.join(parts)}"
    trace = summary["trace"] or {}
    if trace.get("level") == Level.FAULTS and "imported" not in trace:
        text += "; allocations, frees and reservations not recorded (level faults)"
    return Text(text)


def _counted(number: int, singular: str, others: int = 0, other_outcome: str = "") -> str:
    """Return a count and, in brackets, a second outcome; an empty string if both are 0."""
    if not number and not others:
        return ""
    return count(number, singular) + (f" ({others:,} {other_outcome})" if others else "")
