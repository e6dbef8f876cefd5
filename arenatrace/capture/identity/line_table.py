"""Line tables of programs, assembled from the pieces that the probes send."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from arenatrace.capture.ring.notes import LinesNote, StringsNote

#: Address, file offset, line offset, line and column of one row.
LineRow = tuple[int, int, int, int, int]


class LineTables:
    """Pieces of line tables by program, and of BTF string sections by BTF id."""

    def __init__(self) -> None:
        self._rows: dict[int, list[LineRow]] = defaultdict(list)
        self._strings: dict[int, bytearray] = {}

    def add_lines(self, note: LinesNote) -> None:
        """Add rows of the program ``note.key``."""
        self._rows[note.key].extend(note.rows)

    def add_strings(self, note: StringsNote) -> None:
        """Add a piece of a string section; lost pieces stay zero."""
        section = self._strings.setdefault(note.btf_id, bytearray(note.total))
        section[note.offset : note.offset + len(note.data)] = note.data

    def forget_strings(self, most: int) -> list[int]:
        """Drop the oldest sections until ``most`` bytes are left; return their BTF ids."""
        dropped: list[int] = []
        total = sum(map(len, self._strings.values()))
        for btf_id in list(self._strings):
            if total <= most:
                break
            total -= len(self._strings.pop(btf_id))
            dropped.append(btf_id)
        return dropped

    def take(self, key: int) -> list[LineRow]:
        """Remove and return the rows of the program ``key``."""
        return self._rows.pop(key, [])

    def table(self, pieces: list[LineRow], btf_id: int) -> list[dict[str, Any]]:
        """Return the column ``lines``: ``pieces`` by ascending address, with their texts."""
        strings = self._strings.get(btf_id, bytearray())
        rows: list[dict[str, Any]] = [
            {
                "addr": address,
                "file": _string(strings, file_off),
                "line": line or None,
                "col": col or None,
                # the kernel's own report trims the indentation too
                "text": _string(strings, line_off, strip=True),
            }
            for address, file_off, line_off, line, col in pieces
            if address  # 0: the JIT dropped the instruction
        ]
        rows.sort(key=_address)
        return rows


def _address(row: dict[str, Any]) -> int:
    address: int = row["addr"]
    return address


def _string(section: bytearray, offset: int, *, strip: bool = False) -> str | None:
    end = section.find(b"\0", offset)
    if not 0 < offset < end:
        return None
    text = section[offset:end].decode("utf-8", "backslashreplace")
    return text.strip() if strip else text
