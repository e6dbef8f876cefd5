"""Faults as text, one block for each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from arenatrace.report.sanitize import harmless
from arenatrace.report.units import address, since

_STYLES = {"oops": "bold red", "scratch-installed": "yellow", "zeroed": "yellow"}

_ATTRIBUTION = {
    "agreed": "kernel and stack agree",
    "kernel-only": "named by the kernel only",
    "stack-only": "named by the stack only",
    "disputed": "named by the kernel, but the stack differs",
}


def print_faults(
    rows: Iterable[Mapping[str, Any]], starts_ts_ns: Mapping[str | None, int], console: Console
) -> None:
    """Write fault rows of the analysis, with times in s after the start of their trace.

    ``starts_ts_ns`` maps ``trace`` to its start in ns; the key of a single trace is None.
    """
    trace: str | None = None
    for position, row in enumerate(rows):
        if position:
            console.print()
        if row.get("trace") != trace:
            trace = row["trace"]
            console.print(Text(harmless(trace), "bold underline"))
            console.print()
        outcome = row["outcome"] or "outcome unknown"
        headline = f"#{row['fault']}  {since(row['ts_ns'], starts_ts_ns[trace])}  {outcome}"
        console.print(Text(headline, _STYLES.get(outcome, "bold")))
        console.print(_details(row))


def _details(row: Mapping[str, Any]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(width=3)
    table.add_column(style="dim", no_wrap=True, width=10)
    table.add_column(overflow="fold")
    for label, value in _lines(row):
        table.add_row(Text(), Text(label), Text(value))
    return table


def _lines(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "access", harmless(row["title"])
    yield "address", _address(row)
    yield "kaddr", address(row["kaddr"]) or "unknown"
    callee = row["callee"]
    if callee is not None:
        module = f" [{harmless(callee['module'])}]" if callee["module"] else ""
        yield "callee", f"{harmless(callee['symbol'] or '?')}{module}"
    yield "program", _program(row)
    source = row["source"]
    if source is not None:
        yield "source", f"{harmless(source['file'] or '?')}:{_known(source['line'])}"
        if source["text"]:
            # A tab in a source line is layout; an escape would make the line hard to read.
            yield "", f"  {harmless(source['text'].replace(chr(9), ' '))}"
    task = row["task"]
    comm = "unknown" if task["comm"] is None else harmless(task["comm"])
    yield "task", f"{comm}, pid {_known(task['pid'])}, tid {_known(task['tid'])}"
    yield "cause", _cause(row)
    for sentence in row["evidence"]:
        yield "evidence", harmless(sentence)


def _address(row: Mapping[str, Any]) -> str:
    if row["band"] is None and row["uaddr"] is None:
        return "not in a known arena"
    parts = [address(row["uaddr"]) or "user address unknown"]
    if row["page"] is not None:
        offset = "" if row["offset"] is None else f" + {row['offset']} bytes"
        parts.append(f"page {row['page']}{offset}")
    if row["arena"] is not None:
        parts.append(f"arena {row['arena']}")
    if row["band"] is not None:
        parts.append(row["band"])
    return ", ".join(parts)


def _program(row: Mapping[str, Any]) -> str:
    prog = row["prog"]
    if prog is None:
        return "unknown"
    name = f"{harmless(prog['name'] or 'unnamed')}"
    if row["function"]:
        name += f" in {harmless(row['function'])}()"
    kind = harmless(prog["type"] or "unknown type")
    return f"{name}, id {_known(prog['id'])}, {kind}, {_ATTRIBUTION[row['attribution']]}"


def _cause(row: Mapping[str, Any]) -> str:
    cause = harmless(row["cause"])
    return cause if cause == "unknown" else f"{cause} ({row['confidence']})"


def _known(number: int | None) -> str:
    return "unknown" if number is None else str(number)
