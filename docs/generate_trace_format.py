"""Write the tables of docs/trace-format.md from arenatrace/schema.py, or check them.

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
    """Return a table line for each column, followed by lines for its members."""
    lines = []
    for column in columns:
        null = "" if column.nullable else ", never null"
        unit = f", {column.unit}" if column.unit else ""
        lines.append(f"| `{prefix}{column.name}` | {column.dtype}{unit}{null} | {column.meaning} |")
        lines += rows(column.fields, f"{prefix}{column.name}.")
    return lines


def generated() -> str:
    """Return the generated part of the page."""
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
    """Write the page, or with --check return 1 if it is out of date."""
    text = _PAGE.read_text()
    expected = text.partition(_MARK)[0] + generated()
    if "--check" in sys.argv[1:]:
        if text != expected:
            print("docs/trace-format.md is out of date, run make man", file=sys.stderr)
            return 1
        return 0
    _PAGE.write_text(expected)
    return 0


if __name__ == "__main__":
    sys.exit(main())
