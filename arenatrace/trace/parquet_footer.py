"""Which columns of a Parquet file may hold nulls? Read from its footer.

polars does not tell, and pyarrow, which does, takes longer to import than a small trace to
summarise. The footer is a Thrift structure in the compact protocol; ``FileMetaData`` and
``SchemaElement`` are those of the Parquet format's ``parquet.thrift``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from arenatrace.trace.checksum import open_regular

_MAGIC = b"PAR1"
#: Bytes after the footer: its length and the magic.
_TAIL = 8
#: The schema comes first in the footer; no table of a trace has a longer one than this.
_SCHEMA_BYTES = 1 << 20

# Types of the compact protocol.
_STOP, _TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(
    13
)
_INTEGERS = (_I16, _I32, _I64)
_WIDTHS = {_TRUE: 0, _FALSE: 0, _BYTE: 1, _DOUBLE: 8}
#: Structures lie inside each other this deep at most in a schema.
_MOST_DEEP = 8

# Fields of FileMetaData and SchemaElement, and a value of FieldRepetitionType.
_SCHEMA = 2
_REPETITION, _NAME, _CHILDREN = 3, 4, 5
_REQUIRED = 0


def columns(path: Path) -> list[tuple[str, bool]]:
    """Name of each column of the file, in order, and whether it may hold nulls.

    Raises ValueError if this is no Parquet file with a schema, OSError if it cannot be read.
    """
    with open_regular(path) as file:
        size = file.seek(0, os.SEEK_END)
        if size < _TAIL + len(_MAGIC):
            raise ValueError("too short")
        file.seek(size - _TAIL)
        tail = file.read(_TAIL)
        length = int.from_bytes(tail[:4], "little")
        if tail[4:] != _MAGIC or length > size - _TAIL:
            raise ValueError("no footer")
        file.seek(size - _TAIL - length)
        footer = file.read(min(length, _SCHEMA_BYTES))
    try:
        return _top(_schema(_Reader(footer)))
    except (IndexError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError("a damaged footer") from error


class _Element:
    """A node of the schema; the tree is written depth first."""

    def __init__(self) -> None:
        self.name = ""
        self.children = 0
        self.nullable = False


def _top(elements: list[_Element]) -> list[tuple[str, bool]]:
    """The children of the root."""
    found = []
    place = 1
    for _ in range(elements[0].children):
        found.append((elements[place].name, elements[place].nullable))
        left = 1
        while left:
            left += elements[place].children - 1
            place += 1
    return found


def _schema(reader: _Reader) -> list[_Element]:
    for field, kind in reader.fields():
        if field == _SCHEMA and kind == _LIST:
            count, of = reader.list_header()
            if of == _STRUCT:
                return [_element(reader) for _ in range(count)]
        reader.skip(kind)
    raise ValueError("no schema")


def _element(reader: _Reader) -> _Element:
    element = _Element()
    for field, kind in reader.fields():
        if field == _NAME and kind == _BINARY:
            element.name = reader.binary().decode()
        elif field == _CHILDREN and kind == _I32:
            element.children = max(0, reader.integer())
        elif field == _REPETITION and kind == _I32:
            element.nullable = reader.integer() != _REQUIRED
        else:
            reader.skip(kind)
    return element


class _Reader:
    """Reads values of the compact protocol. IndexError past the end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    def fields(self) -> Iterator[tuple[int, int]]:
        """Number and type of each field of a structure; the caller reads or skips its value."""
        number = 0
        while (header := self._byte()) != _STOP:
            number = number + (header >> 4) if header >> 4 else self.integer()
            yield number, header & 15

    def list_header(self) -> tuple[int, int]:
        """How many elements a list has, and of which type."""
        header = self._byte()
        count = header >> 4
        return (self._varint() if count == 15 else count), header & 15

    def integer(self) -> int:
        """A number, zigzag coded."""
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def binary(self) -> bytes:
        """A string of bytes."""
        return self._take(self._varint())

    def skip(self, kind: int, depth: int = 0) -> None:
        """Pass over a value."""
        if depth > _MOST_DEEP:
            raise ValueError("too deep")
        if kind in _INTEGERS:
            self._varint()
        elif kind in _WIDTHS:
            self._take(_WIDTHS[kind])
        elif kind == _BINARY:
            self.binary()
        elif kind in (_LIST, _SET):
            count, of = self.list_header()
            for _ in range(count):
                # The truth of a list is a byte each, that of a field is in its type.
                self.skip(_BYTE if of in (_TRUE, _FALSE) else of, depth + 1)
        elif kind == _STRUCT:
            for _, inner in self.fields():
                self.skip(inner, depth + 1)
        else:
            raise ValueError("an unknown type")

    def _byte(self) -> int:
        self._place += 1
        return self._data[self._place - 1]

    def _take(self, count: int) -> bytes:
        if count > len(self._data) - self._place:
            raise IndexError
        self._place += count
        return self._data[self._place - count : self._place]

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 64, 7):
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise ValueError("a number of more than 64 bits")
