"""Faults and summaries as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from arenatrace.report.units import address

#: Keys with an address, printed in hex.
ADDRESSES = ("kaddr", "uaddr", "ip")

#: Keys of a fault row that only text reports use.
INTERNAL = ("prog_index", "title")


def fault_line(row: Mapping[str, Any]) -> str:
    """Return one fault as one line of JSON, with addresses as hex strings."""
    return _dump(
        {
            name: address(value) if name in ADDRESSES else value
            for name, value in row.items()
            if name not in INTERNAL
        }
    )


def summary_line(summary: Mapping[str, Any]) -> str:
    """Return the summary as one line of JSON."""
    return _dump(summary)


def _dump(value: object) -> str:
    # ASCII only: task names cannot add lines or terminal escapes.
    return json.dumps(value, ensure_ascii=True, allow_nan=False)
