"""Put programs' line tables together from the pieces the probes send."""

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
        """Take some rows of the program ``note.key``."""
        self._rows[note.key].extend(note.rows)

    def add_strings(self, note: StringsNote) -> None:
        """Take a piece of a string section; pieces that were lost stay zero."""
        section = self._strings.setdefault(note.btf_id, bytearray(note.total))
        section[note.offset : note.offset + len(note.data)] = note.data

    def forget_strings(self, most: int) -> list[int]:
        """Drop the oldest sections until ``most`` bytes are left; the BTF ids of those dropped."""
        gone: list[int] = []
        total = sum(map(len, self._strings.values()))
        for btf_id in list(self._strings):
            if total <= most:
                break
            total -= len(self._strings.pop(btf_id))
            gone.append(btf_id)
        return gone

    def take(self, key: int) -> list[LineRow]:
        """The rows of the program ``key`` so far; they are given once."""
        return self._rows.pop(key, [])

    def table(self, pieces: list[LineRow], btf_id: int) -> list[dict[str, Any]]:
        """``pieces`` by ascending address with their texts, for the column ``lines``."""
        strings = self._strings.get(btf_id, bytearray())
        rows: list[dict[str, Any]] = [
            {
                "addr": address,
                "file": _string(strings, file_off),
                "line": line or None,
                "col": col or None,
                # the kernel's own report trims the indentation as well
                "text": _string(strings, line_off, strip=True),
            }
            for address, file_off, line_off, line, col in pieces
            if address  # instructions the JIT dropped have none
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
