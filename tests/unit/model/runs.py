"""How many random runs the property tests make."""

from __future__ import annotations

import os


def runs(usual: int) -> int:
    """``usual``, or as many times more as ARENATRACE_RUNS says."""
    return usual * int(os.environ.get("ARENATRACE_RUNS") or "1")
