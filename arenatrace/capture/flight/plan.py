"""Retention of a flight recorder."""

from __future__ import annotations

import re
from dataclasses import dataclass

from arenatrace.capture.ring.ring_size import parse_bytes, show_size
from arenatrace.errors import UsageError

#: Time recorded after the last fault of a window before it is sealed, s.
AFTER_S = 5.0
#: Segments in the retained time: one is dropped at a time.
PARTS = 4

MAX_WINDOWS = 20
MAX_BYTES = 1 << 30
#: Minimum size: less has no room for a few seconds of a busy arena.
LEAST_BYTES = 16 << 20

_UNITS_S = {"s": 1, "m": 60, "h": 3600}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smh]?)", re.ASCII)
_LEAST_S, _MOST_S = 1.0, 24 * 3600.0


@dataclass(frozen=True)
class FlightPlan:
    """Retains ``keep_s`` seconds before a fault, and at most ``max_windows`` windows.

    Half of ``max_bytes`` is for segments, half for sealed windows.
    """

    keep_s: float
    max_windows: int = MAX_WINDOWS
    max_bytes: int = MAX_BYTES

    @property
    def half_bytes(self) -> int:
        """Maximum bytes of the segments, and of the windows."""
        return self.max_bytes // 2

    @property
    def part_ns(self) -> int:
        """Maximum duration of a segment, ns."""
        return int(self.keep_s * 1e9 / PARTS)


def flight_plan(keep: str, max_windows: int, max_size: str) -> FlightPlan:
    """Return the plan for these options. Raises UsageError that names the wrong one."""
    max_bytes = parse_bytes(max_size, "--max-size")
    if max_bytes < LEAST_BYTES:
        raise UsageError(
            f"--max-size {max_size}: too little to keep anything",
            f"at least {show_size(LEAST_BYTES)}",
        )
    return FlightPlan(parse_duration(keep, "--keep"), max_windows, max_bytes)


def parse_duration(text: str, option: str) -> float:
    """Return the seconds in ``text``, a number with s, m or h, or without unit.

    Raises UsageError.
    """
    match = _DURATION.fullmatch(text.strip())
    seconds = float(match[1]) * _UNITS_S[match[2] or "s"] if match else 0.0
    if not _LEAST_S <= seconds <= _MOST_S:
        raise UsageError(
            f"{option} {text}: not a time between 1s and 24h", f"for example {option} 60s or 5m"
        )
    return seconds
