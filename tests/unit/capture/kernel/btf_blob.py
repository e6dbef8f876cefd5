"""A small BTF encoder (Documentation/bpf/btf.rst) for tests."""

from __future__ import annotations

import struct
from collections.abc import Sequence

INT, PTR, ARRAY, STRUCT, UNION, ENUM, FWD = 1, 2, 3, 4, 5, 6, 7
TYPEDEF, CONST, FUNC, FUNC_PROTO = 8, 10, 12, 13
MAGIC = 0xEB9F


class Blob:
    """Collects types; each method returns the id of the type it added."""

    def __init__(self) -> None:
        self.types = bytearray()
        self.strings = bytearray(b"\0")
        self.count = 0

    def string(self, text: str) -> int:
        """Offset of ``text``; a text that ends one already there shares its bytes."""
        if not text:
            return 0
        wanted = text.encode() + b"\0"
        at = self.strings.find(wanted)
        if at < 0:
            at = len(self.strings)
            self.strings += wanted
        return at

    def add(self, kind: int, name: str, third: int, words: Sequence[int] = (), **how: int) -> int:
        """Add a type: ``vlen`` and ``flag`` go into its info word, ``words`` follow it."""
        info = how.get("flag", 0) << 31 | kind << 24 | how.get("vlen", 0)
        self.types += struct.pack(f"<{3 + len(words)}I", self.string(name), info, third, *words)
        self.count += 1
        return self.count

    def integer(self, name: str = "int", size: int = 4) -> int:
        """An integer type of ``size`` bytes."""
        return self.add(INT, name, size, [size * 8])

    def struct(
        self,
        name: str,
        members: Sequence[tuple[str, int, int]],
        *,
        kind: int = STRUCT,
        bitfields: bool = False,
    ) -> int:
        """A structure of (name, type, third word) members; the third word is bits or packed."""
        words = [w for text, type_id, bits in members for w in (self.string(text), type_id, bits)]
        return self.add(kind, name, 64, words, vlen=len(members), flag=int(bitfields))

    def function(self, name: str, params: Sequence[str]) -> int:
        """A function with integer parameters of these names."""
        words = [w for text in params for w in (self.string(text), 1)]
        proto = self.add(FUNC_PROTO, "", 1, words, vlen=len(params))
        return self.add(FUNC, name, proto)

    def enum(self, name: str, values: dict[str, int]) -> int:
        """An enumeration."""
        words = [w for text, value in values.items() for w in (self.string(text), value)]
        return self.add(ENUM, name, 4, words, vlen=len(values))

    def encode(self, *, strings_first: bool = False) -> bytes:
        """The blob: header, types, strings (or the sections the other way round)."""
        types, strings = bytes(self.types), bytes(self.strings)
        if strings_first:
            strings += b"\0" * (-len(strings) % 4)
            offsets = (len(strings), len(types), 0, len(strings))
            body = strings + types
        else:
            offsets = (0, len(types), len(types), len(strings))
            body = types + strings
        return struct.pack("<HBBIIIII", MAGIC, 1, 0, 24, *offsets) + body
