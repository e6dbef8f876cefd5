"""Checksums of the files of a sealed trace, so that damage is never shown as a fault."""

from __future__ import annotations

import os
import stat
import zlib
from pathlib import Path
from typing import IO

from arenatrace.errors import TraceError

_PIECE = 1 << 20


def crc32(path: Path) -> str:
    """Return the CRC-32 of the content of a file in hex. Raises OSError."""
    value = 0
    with open_regular(path) as file:
        while piece := file.read(_PIECE):
            value = zlib.crc32(piece, value)
    return f"{value:08x}"


def damaged(path: Path) -> TraceError:
    """Return the error for a file whose content has changed since it was sealed."""
    return TraceError(
        f"{path}: damaged: its content changed after sealing",
        "copy the trace again from where it was recorded",
    )


def open_regular(path: Path) -> IO[bytes]:
    """Open a regular file for reading; OSError for any other file, which might never end."""
    # Without O_NONBLOCK, opening a FIFO waits for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(None, "is not a regular file")
    return os.fdopen(descriptor, "rb")
