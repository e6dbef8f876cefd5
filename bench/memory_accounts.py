"""What a process and the session in it hold, number by number, to see which of them grows."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

MIB = 1 << 20


class _Mallinfo(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


def process() -> dict[str, float]:
    """Of this process: MiB in memory and of allocators, and Python's own counts.

    ``lazy free``: given back, but still counted until somebody needs it. ``glibc free``: held
    by malloc though nobody uses it. ``blocks``: what Python has allocated.
    """
    told: dict[str, float] = {}
    names = {"Rss": "rss", "Pss": "pss", "LazyFree": "lazy free", "Anonymous": "anonymous"}
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in names:
            told[names[name]] = int(value.split()[0]) / 1024
    told["arrow"] = pa.total_allocated_bytes() / MIB
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallinfo2"):
        libc.mallinfo2.restype = _Mallinfo
        found = libc.mallinfo2()
        told["glibc used"] = (found.uordblks + found.hblkhd) / MIB
        told["glibc free"] = found.fordblks / MIB
    told["blocks"] = float(sys.getallocatedblocks())
    told["objects"] = float(len(gc.get_objects()))
    return told


def held(recent: Any, rows: pl.DataFrame | None) -> dict[str, float]:
    """Rows and MiB of every frame that ``LiveWindow`` holds, and of the diagnosed faults."""
    told: dict[str, float] = {}
    for name, frame in _frames(recent, rows):
        told[f"{name} rows"] = told.get(f"{name} rows", 0) + len(frame)
        told[f"{name} MiB"] = told.get(f"{name} MiB", 0) + frame.estimated_size() / MIB
    return told


def _frames(recent: Any, rows: pl.DataFrame | None) -> Iterator[tuple[str, pl.DataFrame]]:
    for name, value in vars(recent).items():
        if isinstance(value, pl.DataFrame):
            yield name.strip("_"), value
    retained = recent._retained  # noqa: SLF001 - only this benchmark needs it
    for one in fields(retained):
        value = getattr(retained, one.name)
        if isinstance(value, pl.DataFrame):
            yield f"retained {one.name}", value
    if retained.tally.groups is not None:
        yield "tally", retained.tally.groups
    for frame in list(recent._new_operations):  # noqa: SLF001
        yield "new operations", frame
    for name, frame in dict(recent._tables).items():  # noqa: SLF001
        yield name, frame
    if rows is not None:
        yield "diagnosed", rows
