"""Properties of the machine for a trace's meta.json."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path

_NODES = Path("/sys/devices/system/node")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boot_id() -> str | None:
    """Return the kernel's boot id; None if /proc does not show it."""
    try:
        return _BOOT_ID.read_text().strip() or None
    except OSError:
        return None


def wall_offset_ns() -> int:
    """Return the ns to add to CLOCK_MONOTONIC to get UNIX time.

    The wall clock is read between two readings of the monotonic clock, so the error is half the
    time of one reading.
    """
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    wall = time.time_ns()
    after = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    return wall - (before + after) // 2


def release() -> str:
    """Return the running kernel's release, as uname -r prints it."""
    return platform.release()


def name() -> str | None:
    """Return the host name."""
    return os.uname().nodename or None


def arch() -> str:
    """Return the architecture, as uname -m prints it."""
    return platform.machine()


def nr_node_ids() -> int | None:
    """Return the kernel's nr_node_ids, the number of possible NUMA nodes; None if unknown."""
    possible = _nodes("possible")
    return None if possible is None else max(possible, default=0) + 1


def online_nodes() -> tuple[int, ...] | None:
    """Return the online NUMA nodes; None if unknown."""
    return _nodes("online")


def _nodes(which: str) -> tuple[int, ...] | None:
    try:
        text = (_NODES / which).read_text()
    except FileNotFoundError:
        # a kernel without CONFIG_NUMA has node 0 and does not list it
        return None if _NODES.exists() else (0,)
    except OSError:
        return None
    return node_list(text)


def node_list(text: str) -> tuple[int, ...] | None:
    """Return the numbers of a list as the kernel prints it, "0-1,4"; None if it is not a list."""
    found: list[int] = []
    for part in text.strip().split(","):
        first, dash, last = part.partition("-")
        if not dash:
            last = first
        if not first.isdecimal() or not last.isdecimal():
            return None
        found += range(int(first), int(last) + 1)
    return tuple(found)
