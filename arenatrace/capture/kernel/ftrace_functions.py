"""Kernel functions that a probe can be attached to."""

from __future__ import annotations

from pathlib import Path

#: tracefs, mounted by itself or below debugfs.
_PATHS = (
    Path("/sys/kernel/tracing/available_filter_functions"),
    Path("/sys/kernel/debug/tracing/available_filter_functions"),
)


def traceable(names: frozenset[str], paths: tuple[Path, ...] = _PATHS) -> frozenset[str] | None:
    """Return the ``names`` that ftrace lists; None if its list cannot be read.

    A function in BTF that ftrace does not list has no entry hook or was inlined: attaching fails.
    """
    for path in paths:
        try:
            with path.open(encoding="utf-8", errors="replace") as lines:
                return names & {line.split(maxsplit=1)[0] for line in lines if line.strip()}
        except OSError:
            continue
    return None
