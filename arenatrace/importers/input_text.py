"""Blocks of lines from plain or compressed files and stdin, in bounded memory."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from typing import IO, Any

import pyarrow as pa

from arenatrace.errors import ArenatraceError

#: Bytes read at once, and the maximum line length; longer lines are split.
BLOCK_BYTES = 1 << 16

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_UNSUPPORTED = {b"\xfd7zXZ\x00": "xz", b"BZh": "bzip2", b"\x04\x22\x4d\x18": "lz4"}
_HEAD_BYTES = 6

_TEXT_HINT = "give the text of a program's stderr stream, dmesg or journalctl"
#: Maximum share of control characters in text.
_MAX_CONTROL = 0.1
_CONTROL = bytes(code for code in range(32) if code not in b"\t\n\r\x1b") + b"\x7f"


class Text:
    """One input text. ``blocks`` may be called once; it sets ``compression`` and ``cut``."""

    def __init__(self, name: str, file: IO[bytes]) -> None:
        self.name = name
        self.compression: str | None = None
        #: Reason why reading stopped before the end; empty after a complete read.
        self.cut = ""
        self._file = file

    def blocks(self) -> Iterator[bytes]:
        """Yield the bytes in blocks that end with a complete line.

        The last block and blocks with an overlong line may end in the middle of a line. Damage
        after the first bytes ends the text and sets ``cut``.

        Raises:
            ArenatraceError: The input is not text, or reading fails at the start.
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
            # strerror is set if the operating system failed, not the decompression.
            reason = (
                getattr(error, "strerror", None) or "the compressed data is damaged or truncated"
            )
            if not any_read:
                raise ArenatraceError(f"{self.name}: {reason}", "copy the file again") from error
            self.cut = reason

    def _decompressed(self) -> Any:
        head = b""
        while len(head) < _HEAD_BYTES and (more := self._file.read(_HEAD_BYTES - len(head))):
            head += more
        stream = io.BufferedReader(_Rejoined(head, self._file), BLOCK_BYTES)
        if head.startswith(_GZIP):
            self.compression = "gzip"
            return gzip.GzipFile(fileobj=stream)
        if head.startswith(_ZSTD):
            self.compression = "zstd"
            return pa.CompressedInputStream(pa.PythonFile(stream, "r"), "zstd")
        for magic, tool in _UNSUPPORTED.items():
            if head.startswith(magic):
                raise ArenatraceError(
                    f"{self.name}: compressed by {tool}, which is not supported",
                    f"decompress it: {tool} -dc FILE | arenatrace import -",
                )
        return stream

    def _check(self, data: bytes) -> None:
        # After a power failure a log can begin with a run of zero bytes.
        text = data.lstrip(b"\0") or data
        control = len(text) - len(text.translate(None, _CONTROL))
        if control > len(text) * _MAX_CONTROL:
            raise ArenatraceError(f"{self.name}: not text", _TEXT_HINT)


class _Rejoined(io.RawIOBase):
    """File with its first bytes put back."""

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
        # read1 returns the bytes a pipe has now; read waits for a full buffer.
        read = getattr(self._file, "read1", self._file.read)
        data = read(size)
        return data if isinstance(data, bytes) else b""
