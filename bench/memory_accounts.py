"""Memory of a process and of the terminal session in it, by owner."""

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
    """Return MiB of this process and its allocators, and Python's counts of objects.

    ``lazy free``: returned to the kernel but still counted. ``glibc free``: unused memory of
    malloc. ``blocks``: allocations of Python.
    """
    sizes: dict[str, float] = {}
    names = {"Rss": "rss", "Pss": "pss", "LazyFree": "lazy free", "Anonymous": "anonymous"}
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in names:
            sizes[names[name]] = int(value.split()[0]) / 1024
    sizes["arrow"] = pa.total_allocated_bytes() / MIB
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallinfo2"):
        libc.mallinfo2.restype = _Mallinfo
        found = libc.mallinfo2()
        sizes["glibc used"] = (found.uordblks + found.hblkhd) / MIB
        sizes["glibc free"] = found.fordblks / MIB
    sizes["blocks"] = float(sys.getallocatedblocks())
    sizes["objects"] = float(len(gc.get_objects()))
    return sizes


def frame_sizes(recent: Any, rows: pl.DataFrame | None) -> dict[str, float]:
    """Return rows and MiB of every frame of a ``LiveWindow``, and of the diagnosed faults."""
    sizes: dict[str, float] = {}
    for name, frame in _frames(recent, rows):
        sizes[f"{name} rows"] = sizes.get(f"{name} rows", 0) + len(frame)
        sizes[f"{name} MiB"] = sizes.get(f"{name} MiB", 0) + frame.estimated_size() / MIB
    return sizes


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
