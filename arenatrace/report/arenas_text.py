"""Arenas and their page ranges as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from arenatrace.report.sanitize import harmless
from arenatrace.report.units import address, count, origin, since, size
from arenatrace.schema import PAGE_SIZE

_ADDRESSES = ("kern_vm_start", "user_vm_start")


def arenas_line(listing: Mapping[str, Any]) -> str:
    """Return the listing as one line of JSON, with addresses as hex strings."""
    arenas = [
        {name: address(value) if name in _ADDRESSES else value for name, value in one.items()}
        for one in listing["arenas"]
    ]
    return json.dumps({**listing, "arenas": arenas}, ensure_ascii=True, allow_nan=False)


def print_arenas(listing: Mapping[str, Any], start_ts_ns: int, lost: int, console: Console) -> None:
    """Write each arena with a table of its page ranges.

    Args:
        listing: The object of ``arenas --json``.
        start_ts_ns: Start of the trace in ns; times are printed in s after it.
        lost: Number of lost events.
        console: Where to write.
    """
    for position, arena in enumerate(listing["arenas"]):
        if position:
            console.print()
        for part in _arena_parts(arena, listing["at_ts_ns"], start_ts_ns, lost):
            console.print(part)


def _arena_parts(
    arena: Mapping[str, Any], at_ns: int | None, start_ts_ns: int, lost: int
) -> Iterator[RenderableType]:
    map_id = "?" if arena["map_id"] is None else arena["map_id"]
    name = harmless(arena["name"] or "unnamed")
    yield Text(f"{name}, map id {map_id}, {size(arena['max_entries'], PAGE_SIZE)}", "bold")
    creation = origin(lost=lost) if arena["preexisting"] else None
    if arena["create_ts_ns"] is not None:
        creation = f"created {since(arena['create_ts_ns'], start_ts_ns)}"
    destroy_ts_ns = arena["destroy_ts_ns"]
    end = "not destroyed"
    if destroy_ts_ns is not None:
        end = f"destroyed {since(destroy_ts_ns, start_ts_ns)}"
    yield Text(f"{creation or 'creation not recorded'}, {end}")
    if not arena["ranges"]:
        reason = "arena size unknown" if arena["max_entries"] is None else "no arena at that time"
        yield Text(f"no page states: {reason}")
        return
    when = "at the end" if at_ns is None else f"at {since(at_ns, start_ts_ns)}"
    totals = ", ".join(f"{pages:,} {state}" for state, pages in arena["pages"].items())
    yield Text(f"pages {when}: {totals}")
    yield _range_table(arena)
    if any(not one["sure"] and one["state"] != "unknown" for one in arena["ranges"]):
        yield Text("last: last recorded state; later events were lost or not recorded", "dim")


def _range_table(arena: Mapping[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=True, header_style="bold")
    for heading in ("pages", "count", "address"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for one in arena["ranges"]:
        last = one["first"] + one["pages"] - 1
        pages = f"{one['first']}" if one["pages"] == 1 else f"{one['first']}-{last}"
        start = arena["user_vm_start"]
        user_address = "?" if start is None else address(start + one["first"] * PAGE_SIZE)
        suffix = "" if one["sure"] or one["state"] == "unknown" else " (last)"
        table.add_row(pages, f"{one['pages']:,}", user_address, f"{one['state']}{suffix}")
    return table


def nothing_matches(names: tuple[str, ...], arenas: int) -> str:
    """Return the message for a trace in which no arena matches ``names``."""
    wanted = " or ".join(map(harmless, names))
    return f"no arena named {wanted}; the trace has {count(arenas, 'arena')}"
