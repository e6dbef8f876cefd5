"""Rows of the table events."""

from __future__ import annotations

from typing import Any


def events(count: int, comm: str = "a", first: int = 0) -> list[dict[str, Any]]:
    return [
        {"ts_ns": i, "seq": i, "kind": 4, "comm": f"{comm}{i % 3}"}
        for i in range(first, first + count)
    ]
