"""Files and stdin to blocks of lines, plain or compressed, in bounded memory."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from typing import IO, Any

import pyarrow as pa

from arenatrace.errors import ArenatraceError

#: Bytes read at once; also the longest line: a longer one is taken in pieces.
BLOCK_BYTES = 1 << 16

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_OTHERS = {b"\xfd7zXZ\x00": "xz", b"BZh": "bzip2", b"\x04\x22\x4d\x18": "lz4"}
_HEAD_BYTES = 6

_TEXT_HINT = "give the text of a program's stderr stream, of dmesg or of journalctl"
#: Above this share of control characters a block is no text.
_MAX_CONTROL = 0.1
_CONTROL = bytes(code for code in range(32) if code not in b"\t\n\r\x1b") + b"\x7f"


class Text:
    """One text. ``blocks`` may be called once; then ``compression`` and ``cut`` are known."""

    def __init__(self, name: str, file: IO[bytes]) -> None:
        self.name = name
        self.compression: str | None = None
        #: Why reading stopped before the end, empty if it did not.
        self.cut = ""
        self._file = file

    def blocks(self) -> Iterator[bytes]:
        """The bytes in blocks that end with a line, the last one and overlong lines apart.

        Raises ArenatraceError if it is no text, or cannot be read from the start on. Later
        damage ends the text: ``cut`` then says why.
        """
        rest = b""
        first = True
        for data in self._data():
            if first:
                self._check(data)
                first = False
            data = rest + data
            end = data.rfind(b"\n") + 1
            if not end and len(data) >= BLOCK_BYTES:
                end = len(data)
            rest = data[end:]
            if end:
                yield data[:end]
        if rest:
            yield rest

    def _data(self) -> Iterator[bytes]:
        any_read = False
        try:
            stream = self._decompressed()
            while data := stream.read(BLOCK_BYTES):
                any_read = True
                yield data
        except (OSError, EOFError, zlib.error, pa.ArrowException) as error:
            # strerror is set where the operating system failed, not the compressed data.
            reason = getattr(error, "strerror", None) or "the compressed data is damaged or cut off"
            if not any_read:
                raise ArenatraceError(f"{self.name}: {reason}", "copy the file again") from error
            self.cut = reason

    def _decompressed(self) -> Any:
        head = b""
        while len(head) < _HEAD_BYTES and (more := self._file.read(_HEAD_BYTES - len(head))):
            head += more
        whole = io.BufferedReader(_Rejoined(head, self._file), BLOCK_BYTES)
        if head.startswith(_GZIP):
            self.compression = "gzip"
            return gzip.GzipFile(fileobj=whole)
        if head.startswith(_ZSTD):
            self.compression = "zstd"
            return pa.CompressedInputStream(pa.PythonFile(whole, "r"), "zstd")
        for magic, other in _OTHERS.items():
            if head.startswith(magic):
                raise ArenatraceError(
                    f"{self.name}: compressed by {other}, which is not read here",
                    f"decompress it: {other} -dc FILE | arenatrace import -",
                )
        return whole

    def _check(self, data: bytes) -> None:
        # A log that was being written when power failed can begin with a run of zero bytes.
        text = data.lstrip(b"\0") or data
        control = len(text) - len(text.translate(None, _CONTROL))
        if control > len(text) * _MAX_CONTROL:
            raise ArenatraceError(f"{self.name}: not text", _TEXT_HINT)


class _Rejoined(io.RawIOBase):
    """A file whose first bytes were taken off to look at them."""

    def __init__(self, head: bytes, file: IO[bytes]) -> None:
        super().__init__()
        self._head = head
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._head or self._read(len(buffer))
        self._head = data[len(buffer) :]
        data = data[: len(buffer)]
        buffer[: len(data)] = data
        return len(data)

    def _read(self, size: int) -> bytes:
        # read1: what a pipe has now, without waiting for a full buffer.
        read = getattr(self._file, "read1", self._file.read)
        data = read(size)
        return data if isinstance(data, bytes) else b""
