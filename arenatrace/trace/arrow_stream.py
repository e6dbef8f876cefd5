"""Append-only Arrow IPC stream file: one table of a trace under recording."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

#: Bytes that are buffered at most; more are written without a call of flush().
BUFFER_BYTES = 1 << 20

#: Buffers that one writev() accepts (IOV_MAX).
_IOV_MAX = 1024


class _Pending(io.RawIOBase):
    """Output buffer of the Arrow writer, so that complete messages are written together.

    Columns are not copied: views keep the memory of Arrow alive.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[memoryview] = []
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        self.pieces.append(view)
        self.size += len(view)
        return len(view)

    def take(self) -> list[memoryview]:
        """Return the buffered pieces and empty the buffer."""
        pieces, self.pieces, self.size = self.pieces, [], 0
        return pieces


class StreamFile:
    """New ``.arrows`` file of mode 0600 for record batches; never overwrites a file."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._descriptor = os.open(
            path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600
        )
        self._pending = _Pending()
        #: Bytes of the file up to the end of its last complete message.
        self._complete_bytes = 0
        #: Offsets of the ends of messages in the buffer.
        self._ends: list[int] = []
        # New task names extend the dictionary by deltas; a batch with another dictionary
        # replaces it. The stream format allows both.
        options = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=True)
        self._writer = pa.ipc.new_stream(self._pending, schema, options=options)

    def append(self, batch: pa.RecordBatch) -> None:
        """Add ``batch``; the next ``flush`` writes it at the latest. Raises OSError.

        The memory of the batch is not copied and must not change until then.
        """
        self._writer.write_batch(batch)
        self._ends.append(self._pending.size)
        if self._pending.size >= BUFFER_BYTES:
            self.flush()

    @property
    def has_pending(self) -> bool:
        """Whether the buffer has bytes to flush."""
        return self._pending.size > 0

    def flush(self, *, durable: bool = False) -> None:
        """Write all bytes to the kernel; with ``durable``, also wait for the disk.

        On OSError the file is truncated to its last complete message and stays valid. Nothing
        may be appended after that.
        """
        size, written = self._pending.size, 0
        try:
            for count in _written(self._descriptor, self._pending.take()):
                written += count
            if durable:
                os.fdatasync(self._descriptor)
        except OSError:
            self._complete_bytes += max((end for end in self._ends if end <= written), default=0)
            os.ftruncate(self._descriptor, self._complete_bytes)
            raise
        self._complete_bytes += size
        self._ends.clear()

    def close(self, *, durable: bool = True) -> None:
        """Write the end-of-stream mark, flush and close the file. Raises OSError."""
        try:
            self._writer.close()
            self.flush(durable=durable)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Close the file without flushing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _written(descriptor: int, pieces: list[memoryview]) -> Iterator[int]:
    """Write ``pieces`` and yield the number of bytes that each writev() took. Raises OSError.

    A piece is written only when the caller asks for the next number.
    """
    at = 0
    while at < len(pieces):
        count = os.writev(descriptor, pieces[at : at + _IOV_MAX])
        yield count
        while at < len(pieces) and count >= len(pieces[at]):
            count -= len(pieces[at])
            at += 1
        if count:
            pieces[at] = pieces[at][count:]
