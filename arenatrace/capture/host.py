"""What a trace's meta.json says of the machine it was recorded on."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boot_id() -> str | None:
    """The kernel's id of this boot, None where /proc does not show it."""
    try:
        return _BOOT_ID.read_text().strip() or None
    except OSError:
        return None


def wall_offset_ns() -> int:
    """Nanoseconds to add to CLOCK_MONOTONIC to get UNIX time.

    The wall clock is read between two readings of the monotonic one, so the error is half
    of what a clock reading takes.
    """
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    wall = time.time_ns()
    after = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    return wall - (before + after) // 2


def release() -> str:
    """The running kernel's release, as uname -r prints it."""
    return platform.release()


def name() -> str | None:
    """The machine's host name."""
    return os.uname().nodename or None


def arch() -> str:
    """The machine's architecture, as uname -m prints it."""
    return platform.machine()
