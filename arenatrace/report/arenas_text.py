"""Arenas and the ranges of their pages, as text and as JSON."""

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


def arenas_line(told: Mapping[str, Any]) -> str:
    """The object as one line of JSON, addresses as hex strings."""
    arenas = [
        {name: address(value) if name in _ADDRESSES else value for name, value in one.items()}
        for one in told["arenas"]
    ]
    return json.dumps({**told, "arenas": arenas}, ensure_ascii=True, allow_nan=False)


def print_arenas(told: Mapping[str, Any], start_ts_ns: int, lost: int, console: Console) -> None:
    """Write each arena with a table of its ranges; times in s after ``start_ts_ns``."""
    for number, arena in enumerate(told["arenas"]):
        if number:
            console.print()
        for part in _parts(arena, told["at_ts_ns"], start_ts_ns, lost):
            console.print(part)


def _parts(
    arena: Mapping[str, Any], at_ns: int | None, start_ts_ns: int, lost: int
) -> Iterator[RenderableType]:
    number = "?" if arena["map_id"] is None else arena["map_id"]
    name = harmless(arena["name"] or "unnamed")
    yield Text(f"{name}, map id {number}, {size(arena['max_entries'], PAGE_SIZE)}", "bold")
    born = origin(lost=lost) if arena["preexisting"] else None
    if arena["create_ts_ns"] is not None:
        born = f"created {since(arena['create_ts_ns'], start_ts_ns)}"
    gone = arena["destroy_ts_ns"]
    ended = "there at the end" if gone is None else f"destroyed {since(gone, start_ts_ns)}"
    yield Text(f"{born or 'creation not recorded'}, {ended}")
    if not arena["ranges"]:
        why = "size unknown" if arena["max_entries"] is None else "not there at that time"
        yield Text(f"no pages to tell of: {why}")
        return
    moment = "at its end" if at_ns is None else since(at_ns, start_ts_ns)
    sums = ", ".join(f"{pages:,} {state}" for state, pages in arena["pages"].items())
    yield Text(f"pages {moment}: {sums}")
    yield _table(arena)
    if any(not one["sure"] and one["state"] != "unknown" for one in arena["ranges"]):
        yield Text(
            "last: when last recorded; what happened since was lost or is not recorded", "dim"
        )


def _table(arena: Mapping[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=True, header_style="bold")
    for heading in ("pages", "count", "at"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for one in arena["ranges"]:
        last = one["first"] + one["pages"] - 1
        pages = f"{one['first']}" if one["pages"] == 1 else f"{one['first']}-{last}"
        start = arena["user_vm_start"]
        at = "?" if start is None else address(start + one["first"] * PAGE_SIZE)
        doubt = "" if one["sure"] or one["state"] == "unknown" else " (last)"
        table.add_row(pages, f"{one['pages']:,}", at, f"{one['state']}{doubt}")
    return table


def nothing_matches(names: tuple[str, ...], arenas: int) -> str:
    """What to say where no arena is one of ``names``."""
    return f"none of {count(arenas, 'arena')} in this trace is {' or '.join(map(harmless, names))}"
