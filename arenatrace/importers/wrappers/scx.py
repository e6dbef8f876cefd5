"""Lines a sched_ext watcher prints again: ``BPF stderr of prog NAME: `` and the line."""

from __future__ import annotations

import re

MARK = "BPF stderr of prog "

# Whatever the scheduler's logger puts in front goes as well.
_PREFIX = re.compile(r".*?BPF stderr of prog ([^\s:]{1,128}):(?: |$)")


def strip(text: str) -> tuple[str, str] | None:
    """Program name and the line itself, None if this is no line of a watcher."""
    if MARK not in text:
        return None
    found = _PREFIX.match(text)
    return (found[1], text[found.end() :]) if found else None
