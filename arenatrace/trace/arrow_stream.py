"""One table being recorded: an Arrow IPC stream file that is only ever appended to."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

#: Bytes held back at most before they are given to the kernel unasked.
BUFFER_BYTES = 1 << 20

#: Pieces of memory that one writev() takes (IOV_MAX).
_PIECES = 1024


class _Pending(io.RawIOBase):
    """Collects what the Arrow writer emits, so that whole messages go out together.

    Columns are not copied: Arrow hands over the memory that holds them, and so it stays.
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
        """Everything collected, which is forgotten here."""
        pieces, self.pieces, self.size = self.pieces, [], 0
        return pieces


class StreamFile:
    """Appends record batches to a new ``.arrows`` file of mode 0600; never overwrites one."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._descriptor = os.open(
            path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600
        )
        self._pending = _Pending()
        #: Bytes of the file until the end of its last whole message.
        self._whole_bytes = 0
        #: Where messages end in what is pending.
        self._ends: list[int] = []
        # Task names come and go during a recording: the dictionary grows by deltas, and a
        # batch with a dictionary of its own replaces it. Both are part of the stream format.
        options = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=True)
        self._writer = pa.ipc.new_stream(self._pending, schema, options=options)

    def append(self, batch: pa.RecordBatch) -> None:
        """Add ``batch``; it reaches the kernel at the next ``flush`` at the latest. OSError.

        Its memory is written from where it is, and must not change until then.
        """
        self._writer.write_batch(batch)
        self._ends.append(self._pending.size)
        if self._pending.size >= BUFFER_BYTES:
            self.flush()

    @property
    def has_pending(self) -> bool:
        """Whether there is anything to flush."""
        return self._pending.size > 0

    def flush(self, *, durable: bool = False) -> None:
        """Give all bytes to the kernel; if ``durable``, to the disk as well.

        On OSError the file is cut back to the last message that got there whole, so that it
        stays valid, and must not be appended to again.
        """
        size, written = self._pending.size, 0
        try:
            for count in _written(self._descriptor, self._pending.take()):
                written += count
            if durable:
                os.fdatasync(self._descriptor)
        except OSError:
            self._whole_bytes += max((end for end in self._ends if end <= written), default=0)
            os.ftruncate(self._descriptor, self._whole_bytes)
            raise
        self._whole_bytes += size
        self._ends.clear()

    def close(self, *, durable: bool = True) -> None:
        """Write the end-of-stream mark and give everything to the disk or the kernel. OSError."""
        try:
            self._writer.close()
            self.flush(durable=durable)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Close the file as it is, without what was not flushed."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _written(descriptor: int, pieces: list[memoryview]) -> Iterator[int]:
    """Write ``pieces`` one after another; gives how many bytes the kernel took each time. OSError.

    Nothing is written that nobody asks for.
    """
    at = 0
    while at < len(pieces):
        count = os.writev(descriptor, pieces[at : at + _PIECES])
        yield count
        while at < len(pieces) and count >= len(pieces[at]):
            count -= len(pieces[at])
            at += 1
        if count:
            pieces[at] = pieces[at][count:]
