"""A report written to a new file."""

from __future__ import annotations

import os
from pathlib import Path

#: Names tried for a report that is saved.
_ATTEMPTS = 100


def write_new(directory: Path, stem: str, text: str) -> Path:
    """Write ``text`` to a new file, readable by its owner alone: it holds kernel addresses."""
    for attempt in range(1, _ATTEMPTS + 1):
        path = directory / (f"{stem}.txt" if attempt == 1 else f"{stem}-{attempt}.txt")
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        except FileExistsError:
            continue
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
        return path
    raise OSError(f"{stem}.txt and {_ATTEMPTS - 1} more exist already")
