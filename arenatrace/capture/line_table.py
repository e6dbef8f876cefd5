"""Put programs' line tables together from the pieces the probes send."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from arenatrace.capture.notes import LinesNote, StringsNote


class LineTables:
    """Pieces of line tables by program, and of BTF string sections by BTF id."""

    def __init__(self) -> None:
        self._rows: dict[int, list[tuple[int, int, int, int, int]]] = defaultdict(list)
        self._strings: dict[int, bytearray] = {}

    def add_lines(self, note: LinesNote) -> None:
        """Take some rows of the program ``note.key``."""
        self._rows[note.key].extend(note.rows)

    def add_strings(self, note: StringsNote) -> None:
        """Take a piece of a string section; pieces that were lost stay zero."""
        section = self._strings.setdefault(note.btf_id, bytearray(note.total))
        section[note.offset : note.offset + len(note.data)] = note.data

    def table(self, key: int, btf_id: int) -> list[dict[str, Any]]:
        """Rows of the program ``key`` by ascending address, for the column ``lines``."""
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
            for address, file_off, line_off, line, col in self._rows.get(key, ())
            if address  # instructions the JIT dropped have none
        ]
        rows.sort(key=_address)
        return rows

    def forget(self, key: int) -> None:
        """Drop the rows of a program whose table has been written; strings are shared."""
        self._rows.pop(key, None)


def _address(row: dict[str, Any]) -> int:
    address: int = row["addr"]
    return address


def _string(section: bytearray, offset: int, *, strip: bool = False) -> str | None:
    end = section.find(b"\0", offset)
    if not 0 < offset < end:
        return None
    text = section[offset:end].decode("utf-8", "backslashreplace")
    return text.strip() if strip else text
