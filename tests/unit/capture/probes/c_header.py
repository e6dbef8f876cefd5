"""Minimal C parser for ``probes/arena_events.h``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.paths import ROOT

HEADER = ROOT / "probes" / "arena_events.h"

_SIZES = {
    "unsigned long long": 8,
    "long long": 8,
    "unsigned int": 4,
    "unsigned short": 2,
    "unsigned char": 1,
    "char": 1,
}
_MEMBER = re.compile(r"(?P<type>[a-z_ ]+?) (?P<name>\w+)(?:\[(?P<count>\w+)\])?$")


@dataclass(frozen=True)
class Member:
    """One member of a structure."""

    type: str
    name: str
    offset: int
    size: int


@dataclass(frozen=True)
class Struct:
    """A structure with C's rules of alignment applied."""

    members: tuple[Member, ...]
    size: int
    align: int


def _text() -> str:
    return re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.DOTALL)


def defines() -> dict[str, int]:
    """Return the numeric macros."""
    return {name: int(value) for name, value in re.findall(r"#define (\w+) (\d+)", _text())}


def enums() -> dict[str, dict[str, int]]:
    """Return enumeration to enumerator to value. Every enumerator must have an explicit value."""
    found = {}
    for name, body in re.findall(r"enum (\w+) \{(.*?)\};", _text(), re.DOTALL):
        values = {}
        for entry in filter(None, (part.strip() for part in body.split(","))):
            label, expression = (side.strip() for side in entry.split("="))
            left, _, right = expression.partition("<<")
            values[label] = int(left) << int(right or 0)
        found[name] = values
    return found


def structs() -> dict[str, Struct]:
    """Return every structure, in the order of the header."""
    numbers = defines()
    found: dict[str, Struct] = {}
    for name, body in re.findall(r"struct (\w+) \{(.*?)\};", _text(), re.DOTALL):
        members: list[Member] = []
        offset, widest = 0, 1
        for line in filter(None, (part.strip() for part in body.split(";"))):
            match = _MEMBER.match(line)
            assert match is not None, line
            kind, count = match["type"], match["count"]
            if kind.startswith("struct "):
                inner = found[kind.removeprefix("struct ")]
                size, align = inner.size, inner.align
            else:
                size = align = _SIZES[kind]
            offset += -offset % align
            widest = max(widest, align)
            bytes_ = size * (numbers[count] if count else 1)
            members.append(Member(kind, match["name"], offset, bytes_))
            offset += bytes_
        found[name] = Struct(tuple(members), offset + -offset % widest, widest)
    return found
