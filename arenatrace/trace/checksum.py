"""Checksums of a sealed trace's files: damage is said, never shown as somebody's fault."""

from __future__ import annotations

import os
import stat
import zlib
from pathlib import Path
from typing import IO

from arenatrace.errors import TraceError

_PIECE = 1 << 20


def crc32(path: Path) -> str:
    """CRC-32 of a file's content, in hex, read in pieces of 1 MiB. OSError."""
    value = 0
    with open_regular(path) as file:
        while piece := file.read(_PIECE):
            value = zlib.crc32(piece, value)
    return f"{value:08x}"


def check(path: Path, wanted: str | None) -> None:
    """Raise TraceError unless ``path`` has the checksum it was sealed with.

    Traces that were sealed before there were checksums have none to compare with.
    """
    if wanted is not None and crc32(path) != wanted:
        raise TraceError(
            f"{path}: damaged, its content is not what was sealed",
            "copy the trace again from where it was recorded",
        )


def open_regular(path: Path) -> IO[bytes]:
    """Open a file for reading; OSError if it is not a regular one, which might never end."""
    # O_NONBLOCK: opening a FIFO would wait for a writer
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(None, "is not a regular file")
    return os.fdopen(descriptor, "rb")
