"""Kernel functions that a probe can be attached to."""

from __future__ import annotations

from pathlib import Path

#: tracefs, mounted by itself or below debugfs.
_PLACES = (
    Path("/sys/kernel/tracing/available_filter_functions"),
    Path("/sys/kernel/debug/tracing/available_filter_functions"),
)


def traceable(names: frozenset[str], places: tuple[Path, ...] = _PLACES) -> frozenset[str] | None:
    """Return those of ``names`` that ftrace lists; None if its list cannot be read.

    A function in BTF that ftrace does not list has no entry hook or was inlined: attaching fails.
    """
    for place in places:
        try:
            with place.open(encoding="utf-8", errors="replace") as lines:
                return names & {line.split(maxsplit=1)[0] for line in lines if line.strip()}
        except OSError:
            continue
    return None
