"""Write docs/trace-format.md's tables from arenatrace/schema.py, or check them.

Usage: python docs/generate_trace_format.py [--check]
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from arenatrace.schema import TABLES, Column, Kind, Outcome

_PAGE = Path(__file__).parent / "trace-format.md"
_MARK = "<!-- from here on: make man -->\n"


def rows(columns: Iterable[Column], prefix: str = "") -> list[str]:
    """One line of the table for each column, members of lists below their list."""
    lines = []
    for column in columns:
        null = "" if column.nullable else ", never null"
        unit = f", {column.unit}" if column.unit else ""
        lines.append(f"| `{prefix}{column.name}` | {column.dtype}{unit}{null} | {column.meaning} |")
        lines += rows(column.fields, f"{prefix}{column.name}.")
    return lines


def generated() -> str:
    """The generated part of the page."""
    lines = [_MARK]
    for name, columns in TABLES.items():
        lines += [f"## {name}", "", "| column | type | meaning |", "| --- | --- | --- |"]
        lines += [*rows(columns), ""]
    lines += ["## Codes", "", "| kind | | outcome | |", "| --- | --- | --- | --- |"]
    kinds, outcomes = list(Kind), list(Outcome)
    for index, kind in enumerate(kinds):
        outcome = outcomes[index] if index < len(outcomes) else None
        right = f"{int(outcome)} | {outcome.label}" if outcome else " | "
        lines.append(f"| {int(kind)} | {kind.label} | {right} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write the page, or with --check say whether it is up to date."""
    text = _PAGE.read_text()
    wanted = text.partition(_MARK)[0] + generated()
    if "--check" in sys.argv[1:]:
        if text != wanted:
            print("docs/trace-format.md is out of date, run make man", file=sys.stderr)
            return 1
        return 0
    _PAGE.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
