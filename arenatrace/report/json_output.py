"""Faults and summaries as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from arenatrace.report.units import address

#: Members that are shown in hex.
ADDRESSES = ("kaddr", "uaddr", "ip")

#: Members of a fault row that are for text reports alone.
INTERNAL = ("prog_index", "title")


def fault_line(row: Mapping[str, Any]) -> str:
    """One fault as one line of JSON, addresses as hex strings, everything else as it is."""
    return _dump(
        {
            name: address(value) if name in ADDRESSES else value
            for name, value in row.items()
            if name not in INTERNAL
        }
    )


def summary_line(summary: Mapping[str, Any]) -> str:
    """The summary as one line of JSON."""
    return _dump(summary)


def _dump(value: object) -> str:
    # ASCII: whatever a task calls itself, the output is one line and moves no cursor.
    return json.dumps(value, ensure_ascii=True, allow_nan=False)
