"""Prefix of lines that a sched_ext watcher reprints: ``BPF stderr of prog NAME: ``."""

from __future__ import annotations

import re

MARK = "BPF stderr of prog "

# The prefix of the scheduler's own logger is stripped too.
_PREFIX = re.compile(r".*?BPF stderr of prog ([^\s:]{1,128}):(?: |$)")


def strip(text: str) -> tuple[str, str] | None:
    """Return program name and line, None for a line without the prefix."""
    if MARK not in text:
        return None
    found = _PREFIX.match(text)
    return (found[1], text[found.end() :]) if found else None
