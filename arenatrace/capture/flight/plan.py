"""How much a flight recorder keeps, and of what."""

from __future__ import annotations

import re
from dataclasses import dataclass

from arenatrace.capture.ring.ring_size import parse_bytes, show_size
from arenatrace.errors import UsageError

#: Seconds recorded after the last fault of a window before it is sealed.
AFTER_S = 5.0
#: Segments that the kept time is cut into: what is dropped at a time.
PARTS = 4

MAX_WINDOWS = 20
MAX_BYTES = 1 << 30
#: Less than this leaves no room for a few seconds of a busy arena.
LEAST_BYTES = 16 << 20

_UNITS_S = {"s": 1, "m": 60, "h": 3600}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smh]?)", re.ASCII)
_LEAST_S, _MOST_S = 1.0, 24 * 3600.0


@dataclass(frozen=True)
class FlightPlan:
    """``keep_s`` seconds before a fault are kept; at most ``max_windows`` windows.

    Half of ``max_bytes`` is for what is being recorded, half for sealed windows.
    """

    keep_s: float
    max_windows: int = MAX_WINDOWS
    max_bytes: int = MAX_BYTES

    @property
    def half_bytes(self) -> int:
        """What the segments, and what the windows, may take up."""
        return self.max_bytes // 2

    @property
    def part_ns(self) -> int:
        """How long a segment lasts at most."""
        return int(self.keep_s * 1e9 / PARTS)


def flight_plan(keep: str, max_windows: int, max_size: str) -> FlightPlan:
    """The plan that these words of the command line mean; UsageError naming the wrong one."""
    max_bytes = parse_bytes(max_size, "--max-size")
    if max_bytes < LEAST_BYTES:
        raise UsageError(
            f"--max-size {max_size}: too little to keep anything",
            f"at least {show_size(LEAST_BYTES)}",
        )
    return FlightPlan(parse_duration(keep, "--keep"), max_windows, max_bytes)


def parse_duration(text: str, option: str) -> float:
    """Seconds in ``text``: a number with s, m or h, seconds without; UsageError with the range."""
    match = _DURATION.fullmatch(text.strip())
    seconds = float(match[1]) * _UNITS_S[match[2] or "s"] if match else 0.0
    if not _LEAST_S <= seconds <= _MOST_S:
        raise UsageError(
            f"{option} {text}: not a time between 1s and 24h", f"for example {option} 60s or 5m"
        )
    return seconds
