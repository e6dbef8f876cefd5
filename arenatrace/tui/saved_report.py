"""Save a report to a new file."""

from __future__ import annotations

import os
from pathlib import Path

#: File names tried before giving up.
_ATTEMPTS = 100


def write_new(directory: Path, stem: str, text: str) -> Path:
    """Write ``text`` to a new file that only its owner may read: it has kernel addresses."""
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
