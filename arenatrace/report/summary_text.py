"""The summary as text: how bad, who, where, then the tables."""

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

#: Signatures shown; the rest are counted.
SHOWN = 10


def print_summary(summary: Mapping[str, Any], console: Console) -> None:
    """Write ``summary``, the object of ``summary --json``, to ``console``."""
    for part in _parts(summary):
        console.print(part)


def _parts(summary: Mapping[str, Any]) -> Iterator[RenderableType]:
    totals = summary["totals"]
    yield _headline(totals)
    yield from _worst(summary["signatures"])
    yield from _why(summary["causes"])
    trace = summary["trace"]
    yield from [_trace(trace)] if trace is not None else boot_lines(summary)
    if totals["lost"]:
        lost = count(totals["lost"], "event")
        were = "was" if totals["lost"] == 1 else "were"
        yield Text(f"At least {lost} {were} lost: every number below may be low.", "bold red")
    if summary["signatures"]:
        yield Text()
        yield _signatures(summary["signatures"])
        if len(summary["signatures"]) > SHOWN:
            yield Text(f"… and {len(summary['signatures']) - SHOWN} more (--json has them all)")
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
    """How to name the boots of a summary of several traces, if there are several."""
    boots = summary.get("boots", [])
    return [f", on {boot_name(boot)}" for boot in boots] if len(boots) > 1 else [""]


def _headline(totals: Mapping[str, int]) -> Text:
    faults = totals["kernel_faults"] + totals["prog_faults"]
    if not faults:
        quality = "recorded" if totals["lost"] else "found"
        return Text(f"No arena faults {quality}.", "bold" if totals["lost"] else "bold green")
    kinds = [
        (totals["oopses"], count(totals["oopses"], "kernel oops", "kernel oopses")),
        (totals["scratch_installs"], f"{totals['scratch_installs']:,} given the scratch page"),
        (totals["prog_faults"], f"{totals['prog_faults']:,} in BPF code"),
    ]
    other = faults - sum(number for number, _ in kinds)
    kinds.append((max(0, other), f"{other:,} with the page mapped meanwhile or unknown"))
    text = f"{count(faults, 'arena fault')}: " + ", ".join(words for some, words in kinds if some)
    return Text(text.removesuffix(": "), "bold red" if totals["oopses"] else "bold yellow")


def _worst(signatures: list[Mapping[str, Any]]) -> Iterator[Text]:
    if not signatures:
        return
    first = signatures[0]
    yield Text(f"Most often ({count(first['count'], 'time')}): {harmless(first['title'])}")
    oops = next((one for one in signatures if one["oopses"]), None)
    if oops is not None and oops is not first:
        yield Text(f"Oopsed: {harmless(oops['title'])}")


def _why(causes: Mapping[str, int]) -> Iterator[Text]:
    if causes:
        yield Text("Why: " + ", ".join(f"{harmless(name)} {n:,}" for name, n in causes.items()))


def _trace(trace: Mapping[str, Any]) -> Text:
    facts = [
        f"Linux {harmless(trace['kernel'])} {harmless(trace['arch'])}",
        seconds(trace["duration_ns"]),
    ]
    if not trace["sealed"]:
        facts.append("not sealed")
    return Text(f"{', '.join(facts)}: {harmless(trace['path'])}", "dim")


def _table(rows: list[Mapping[str, Any]], numbers: Mapping[str, str], last: str) -> Table:
    """A table with a column for each of ``numbers`` (heading to member) that is not all 0."""
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


#: Numbers that are names.
_IDS = ("id", "map_id", "first_fault")


def _cells(row: Mapping[str, Any], shown: Mapping[str, str]) -> Iterator[Text]:
    for member in shown.values():
        value = row[member]
        if isinstance(value, int) and member not in _IDS:
            yield Text(f"{value:,}")
        else:
            yield Text("?" if value is None else harmless(str(value)))


def _signatures(rows: list[Mapping[str, Any]]) -> Table:
    rows = rows[:SHOWN]
    numbers = {"faults": "count", "oopses": "oopses", "first": "first_fault", "cause": "cause"}
    several = "first_trace" in rows[0]
    if several:
        # A number means something in its own trace alone.
        del numbers["first"]
    table = _table(rows, numbers, "what and where")
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
        "in BPF": "prog_faults",
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
        facts = [harmless(row["name"] or "unnamed"), size(row["max_entries"], PAGE_SIZE)]
        if row["preexisting"]:
            facts.append(origin(lost=lost))
        host = hosts[row.get("boot", 0)]
        table.add_row(*_cells(row, _shown(rows, numbers)), Text(", ".join(facts) + host))
    return table


def _activity(summary: Mapping[str, Any]) -> Text:
    """What went on, without what did not."""
    totals = summary["totals"]
    done = [
        _done(totals["allocs"], "page allocation", totals["allocs_refused"], "more refused"),
        _done(totals["frees"], "free"),
        _done(totals["reserves"], "reservation", totals["reserves_refused"], "more refused"),
        _done(totals["user_faults"], "user fault", totals["user_sigsegv"], "SIGSEGV"),
    ]
    words = [
        *(text for text in done if text),
        count(totals["arenas"], "arena"),
        count(totals["programs"], "program"),
    ]
    text = f"{count(totals['events'], 'event')}: {', '.join(words)}"
    trace = summary["trace"] or {}
    if trace.get("level") == Level.FAULTS and "imported" not in trace:
        text += "; level faults: allocations, frees and reservations were not recorded"
    return Text(text)


def _done(number: int, what: str, also: int = 0, how: str = "") -> str:
    """So many of something, and how many more of another outcome; nothing if there were none."""
    if not number and not also:
        return ""
    return count(number, what) + (f" ({also:,} {how})" if also else "")
