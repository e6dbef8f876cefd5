"""Numbers with units as text."""

from __future__ import annotations

_NS_PER_S = 1_000_000_000
_KIB = 1024


def count(number: int, singular: str, plural: str = "") -> str:
    """Return ``1 fault``, ``1,200 faults``."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def seconds(duration_ns: int | None) -> str:
    """Return a duration in ns as seconds with three decimals."""
    return "unknown duration" if duration_ns is None else f"{duration_ns / _NS_PER_S:,.3f} s"


def duration(ns: int) -> str:
    """Return a duration in ns with one decimal and a suitable unit."""
    for size, unit in ((_NS_PER_S, "s"), (1_000_000, "ms"), (1_000, "us")):
        if abs(ns) >= size:
            return f"{ns / size:,.1f} {unit}"
    return f"{ns} ns"


def since(ts_ns: int | None, start_ts_ns: int) -> str:
    """Return a time in ns as seconds after the start of the recording, with six decimals."""
    if ts_ns is None:
        return "time unknown"
    return f"{(ts_ns - start_ts_ns) / _NS_PER_S:+.6f} s"


def origin(*, lost: int) -> str:
    """Return the label of an arena whose creation is not in the trace."""
    label = "older than the recording"
    return f"{label}, or its creation was lost" if lost else label


def size(pages: int | None, page_size: int) -> str:
    """Return a number of pages with their size in KiB or MiB."""
    if pages is None:
        return "unknown size"
    kib = pages * page_size // _KIB
    in_bytes = f"{kib // _KIB:,} MiB" if kib and kib % _KIB == 0 else f"{kib:,} KiB"
    return f"{count(pages, 'page')}, {in_bytes}"


def address(value: int | None) -> str | None:
    """Return an address in hex with 0x, None for None."""
    return None if value is None else f"0x{value:x}"
