"""Which functions of the kernel a probe can be attached to."""

from __future__ import annotations

from pathlib import Path

#: tracefs, where it is mounted by itself or below debugfs.
_PLACES = (
    Path("/sys/kernel/tracing/available_filter_functions"),
    Path("/sys/kernel/debug/tracing/available_filter_functions"),
)


def traceable(names: frozenset[str], places: tuple[Path, ...] = _PLACES) -> frozenset[str] | None:
    """Those of ``names`` that ftrace lists; None if its list cannot be read.

    A function that is in BTF but not listed was built without an entry hook, or the compiler
    put it into its callers: attaching to it fails.
    """
    for place in places:
        try:
            with place.open(encoding="utf-8", errors="replace") as lines:
                return names & {line.split(maxsplit=1)[0] for line in lines if line.strip()}
        except OSError:
            continue
    return None
