"""A file laid out like a mapped BPF ring buffer, written as the kernel's producer does."""

from __future__ import annotations

import mmap
import os
import struct

from arenatrace.capture.ring.ring_buffer import BUSY, DISCARD, HEADER_BYTES, MappedRing


class RingFile:
    """Consumer page, producer page, and the data twice over.

    The kernel maps the same pages twice; in a file every byte is written at both places.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.fd = os.memfd_create("ring")
        os.ftruncate(self.fd, 2 * mmap.PAGESIZE + 2 * size)
        self.produced = 0

    def open(self) -> MappedRing:
        """The reader under test."""
        return MappedRing(self.fd, self.size)

    def close(self) -> None:
        """Close the file; mappings stay."""
        os.close(self.fd)

    @property
    def consumed(self) -> int:
        """The consumer position as the kernel would read it."""
        (position,) = struct.unpack("<Q", os.pread(self.fd, 8, 0))
        return int(position)

    def start_at(self, position: int) -> None:
        """Pretend that ``position`` bytes went through the ring before."""
        os.pwrite(self.fd, struct.pack("<Q", position), 0)
        self.produced = position
        self._publish()

    def reserve(self, length: int) -> int | None:
        """Reserve a record as __bpf_ringbuf_reserve() does; None if there is no room."""
        whole = (length + HEADER_BYTES + 7) & ~7
        if self.produced + whole - self.consumed > self.size:
            return None
        at = self.produced
        self._header(at, length | BUSY)
        self.produced += whole
        self._publish()
        return at

    def commit(self, at: int, body: bytes, *, discard: bool = False) -> None:
        """Fill in a reserved record and give it out, or give it up."""
        self._put(at + HEADER_BYTES, body)
        self._header(at, len(body) | (DISCARD if discard else 0))

    def produce(self, body: bytes, *, discard: bool = False) -> bool:
        """Reserve and commit; False if there is no room."""
        at = self.reserve(len(body))
        if at is not None:
            self.commit(at, body, discard=discard)
        return at is not None

    def length_of(self, at: int) -> int:
        """Bytes that were reserved at ``at``."""
        raw = os.pread(self.fd, 4, 2 * mmap.PAGESIZE + (at & (self.size - 1)))
        return int.from_bytes(raw, "little") & ~(BUSY | DISCARD)

    def _header(self, at: int, word: int) -> None:
        self._put(at, struct.pack("<II", word, 0xDEAD))

    def _publish(self) -> None:
        os.pwrite(self.fd, struct.pack("<Q", self.produced), mmap.PAGESIZE)

    def _put(self, at: int, raw: bytes) -> None:
        place = at & (self.size - 1)
        first = raw[: self.size - place]
        for piece, start in ((first, place), (raw[len(first) :], 0)):
            for copy in (0, self.size):
                os.pwrite(self.fd, piece, 2 * mmap.PAGESIZE + copy + start)
