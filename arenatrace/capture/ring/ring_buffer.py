"""Read BPF ring buffers in their mapped memory.

BCC calls into Python for every record; here one pass takes all of them. The layout is that of
kernel/bpf/ringbuf.c: page 0 has the consumer position, page 1 the producer position, then the data
is mapped twice, so that a record which wraps is contiguous. Each record has an 8-byte header whose
first word is its length with a busy bit (unfinished) and a discard bit.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from arenatrace.schema import EVENT_SIZE, WIRE

BUSY = 1 << 31
DISCARD = 1 << 30
HEADER_BYTES = 8

#: One event with its ring header.
RECORD: np.dtype[np.void] = np.dtype(
    {
        "names": ["header", *(field.name for field in WIRE)],
        "formats": ["<u4", *(field.fmt for field in WIRE)],
        "offsets": [0, *(HEADER_BYTES + field.offset for field in WIRE)],
        "itemsize": HEADER_BYTES + EVENT_SIZE,
    }
)

Records = npt.NDArray[Any]


class MappedRing:
    """A mapped BPF_MAP_TYPE_RINGBUF map. ``size`` is the map's max_entries in bytes."""

    def __init__(self, map_fd: int, size: int) -> None:
        page = mmap.PAGESIZE
        self._size = size
        self._consumer = mmap.mmap(
            map_fd, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=0
        )
        self._data = mmap.mmap(
            map_fd, page + 2 * size, mmap.MAP_SHARED, mmap.PROT_READ, offset=page
        )
        self._data_offset = page
        # accessed as one word; numpy arrays would create an object on each access
        self._consumer_pos = memoryview(self._consumer)[:8].cast("Q")
        self._producer_pos = memoryview(self._data)[:8].cast("Q")

    @property
    def consumed(self) -> int:
        """Bytes consumed since the ring was created."""
        return self._consumer_pos[0]

    @property
    def produced(self) -> int:
        """Bytes reserved by producers since the ring was created."""
        return self._producer_pos[0]

    def filled(self) -> float:
        """Return the fill level, 0 to 1."""
        return (self.produced - self.consumed) / self._size

    def advance(self, position: int) -> None:
        """Free everything before ``position``, bytes since the start."""
        self._consumer_pos[0] = position

    def events(self, until: int) -> tuple[Records, int]:
        """Return all finished events before ``until``, and the position after them.

        The records are in the ring and valid until ``advance``. The reader stops at the first
        unfinished record and skips discarded ones.
        """
        start = self.consumed
        count = max(0, until - start) // RECORD.itemsize
        if count == 0:
            return np.empty(0, RECORD), start
        view = np.frombuffer(
            self._data, RECORD, count, self._data_offset + (start & (self._size - 1))
        )
        headers = view["header"].copy()
        if headers.max() >= DISCARD:
            busy = np.flatnonzero(headers & BUSY)
            if busy.size:
                count = int(busy[0])
                headers, view = headers[:count], view[:count]
            view = view[(headers & DISCARD) == 0]
        return view, start + count * RECORD.itemsize

    def unfinished(self) -> int:
        """Return the number of records that are reserved and not consumed."""
        count, position, end = 0, self.consumed, self.produced
        while position < end:
            at = self._data_offset + (position & (self._size - 1))
            length = int.from_bytes(self._data[at : at + 4], "little") & ~(BUSY | DISCARD)
            position += (length + HEADER_BYTES + 7) & ~7
            count += 1
        return count

    def notes(self) -> Iterator[bytes]:
        """Yield every finished record of any length; each is consumed when yielded."""
        end = self.produced
        position = self.consumed
        while position < end:
            at = self._data_offset + (position & (self._size - 1))
            header = int.from_bytes(self._data[at : at + 4], "little")
            if header & BUSY:
                return
            length = header & ~(BUSY | DISCARD)
            if not header & DISCARD:
                body = at + HEADER_BYTES
                yield self._data[body : body + length]
            position += (length + HEADER_BYTES + 7) & ~7
            self.advance(position)
