"""The kernel's BTF: its functions and structure members.

Follows Documentation/bpf/btf.rst. Only what feature detection needs is decoded: one pass finds the
start of each type, names are looked up on demand.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from arenatrace.errors import UnsupportedError

#: BTF of the running kernel (CONFIG_DEBUG_INFO_BTF).
VMLINUX_BTF = Path("/sys/kernel/btf/vmlinux")

_MAGIC = 0xEB9F
_HEADER_BYTES = 24
#: Nesting of anonymous members, at most: deeper BTF is cyclic.
_MAX_DEPTH = 64

_PTR, _ARRAY, _STRUCT, _UNION, _ENUM = 2, 3, 4, 5, 6
_TYPEDEF, _VOLATILE, _CONST, _RESTRICT, _FUNC, _FUNC_PROTO = 8, 9, 10, 11, 12, 13
_TYPE_TAG = 18
_VOID = 0
_TRANSPARENT = frozenset({_TYPEDEF, _VOLATILE, _CONST, _RESTRICT, _TYPE_TAG})

#: Words after a type's three header words, by kind: (fixed, per vlen).
_EXTRA_WORDS: dict[int, tuple[int, int]] = {
    1: (1, 0),  # INT
    _ARRAY: (3, 0),
    _STRUCT: (0, 3),
    _UNION: (0, 3),
    _ENUM: (0, 2),
    _FUNC_PROTO: (0, 2),
    14: (1, 0),  # VAR
    15: (0, 3),  # DATASEC
    17: (1, 0),  # DECL_TAG
    19: (0, 3),  # ENUM64
}


@dataclass(frozen=True)
class Function:
    """A kernel function: its parameter names in order."""

    name: str
    params: tuple[str, ...]


class Btf:
    """Decoded view of one BTF blob."""

    def __init__(self, data: bytes) -> None:
        """Index ``data``.

        Raises:
            UnsupportedError: the blob is not BTF that this reader understands.
        """
        try:
            magic, version, _flags, hdr_len = struct.unpack_from("<HBBI", data)
            type_off, type_len, str_off, str_len = struct.unpack_from("<IIII", data, 8)
        except struct.error as exc:
            raise _unreadable("it is too short") from exc
        if magic != _MAGIC or version != 1:
            raise _unreadable("its header is not BTF version 1")
        types = data[hdr_len + type_off : hdr_len + type_off + type_len]
        if hdr_len < _HEADER_BYTES or len(types) != type_len or type_len % 4:
            raise _unreadable("its type section is cut short")
        self._words = memoryview(types).cast("I")
        self._strings = data[hdr_len + str_off : hdr_len + str_off + str_len]
        if len(self._strings) != str_len:
            raise _unreadable("its string section is cut short")
        self._starts = self._index()

    @classmethod
    def of_running_kernel(cls, path: Path = VMLINUX_BTF) -> Btf:
        """Read the running kernel's BTF.

        Raises:
            UnsupportedError: the kernel has none, or it cannot be read.
        """
        try:
            data = path.read_bytes()
        except FileNotFoundError as exc:
            raise UnsupportedError(
                f"this kernel has no BTF: {path} does not exist",
                "a kernel built with CONFIG_DEBUG_INFO_BTF=y is needed for live capture; "
                "recorded traces can be read on any machine",
            ) from exc
        except OSError as exc:
            raise UnsupportedError(f"cannot read {path}: {exc.strerror}", "run as root") from exc
        return cls(data)

    def _index(self) -> list[int]:
        """Find the word offset of every type; type ids start at 1."""
        words, end = self._words, len(self._words)
        starts = [0]
        at = 0
        extra = _EXTRA_WORDS
        nothing = (0, 0)
        try:
            while at < end:
                starts.append(at)
                info = words[at + 1]
                fixed, per = extra.get(info >> 24 & 0x1F, nothing)
                at += 3 + fixed + per * (info & 0xFFFF)
        except IndexError as exc:
            raise _unreadable("a type is cut short") from exc
        if at != end:
            raise _unreadable("its last type is cut short")
        return starts

    def _name_at(self, offset: int) -> str:
        end = self._strings.find(b"\0", offset)
        if end < 0:
            raise _unreadable("a name lies outside its string section")
        return self._strings[offset:end].decode("utf-8", "replace")

    def _name_offsets(self, name: str) -> set[int]:
        """Return every string offset that reads as ``name``, tails of longer strings included."""
        wanted = name.encode() + b"\0"
        found: set[int] = set()
        at = self._strings.find(wanted)
        while at >= 0:
            found.add(at)
            at = self._strings.find(wanted, at + 1)
        return found

    @cached_property
    def _by_name_offset(self) -> dict[int, list[int]]:
        words = self._words
        table: dict[int, list[int]] = {}
        for type_id, at in enumerate(self._starts):
            if type_id and words[at]:
                table.setdefault(words[at], []).append(type_id)
        return table

    def _start(self, type_id: int) -> int:
        """Return the start of a type other than void."""
        if not 0 < type_id < len(self._starts):
            raise _unreadable(f"it refers to a type {type_id} that it does not have")
        return self._starts[type_id]

    def _kind(self, type_id: int) -> int:
        # id 0 is void and has no entry
        return self._words[self._start(type_id) + 1] >> 24 & 0x1F if type_id else _VOID

    def _find(self, name: str, kinds: frozenset[int]) -> list[int]:
        return [
            type_id
            for offset in self._name_offsets(name)
            for type_id in self._by_name_offset.get(offset, ())
            if self._kind(type_id) in kinds
        ]

    def function(self, name: str) -> Function | None:
        """Return the function ``name``; None if this kernel has none."""
        for type_id in self._find(name, frozenset({_FUNC})):
            proto = self._words[self._start(type_id) + 2]
            if self._kind(proto) != _FUNC_PROTO:
                raise _unreadable(f"the function {name} has no prototype")
            at = self._start(proto)
            count = self._words[at + 1] & 0xFFFF
            params = tuple(self._name_at(self._words[at + 3 + 2 * i]) for i in range(count))
            return Function(name, params)
        return None

    def function_id(self, name: str) -> int | None:
        """Return the type id of a function; None if this kernel has none."""
        return next(iter(self._find(name, frozenset({_FUNC}))), None)

    def struct_id(self, name: str) -> int | None:
        """Return the type id of a structure; None if this kernel has none."""
        return next(iter(self._find(name, frozenset({_STRUCT}))), None)

    def has_struct(self, name: str) -> bool:
        """Return whether a structure of this name is defined, not only declared."""
        return bool(self._find(name, frozenset({_STRUCT, _UNION})))

    def offset_of(self, struct_name: str, *path: str) -> int | None:
        """Return the byte offset of a member; None if this kernel has no such member.

        ``path`` walks through embedded structures: ``offset_of("bpf_prog_aux", "ksym", "start")``.
        Members of anonymous structures and unions are found by their own name.
        """
        for type_id in self._find(struct_name, frozenset({_STRUCT, _UNION})):
            offset = self._walk(type_id, path)
            if offset is not None:
                return offset
        return None

    def _walk(self, type_id: int, path: tuple[str, ...]) -> int | None:
        total = 0
        for member in path:
            found = self._member(self._strip(type_id), member)
            if found is None:
                return None
            bits, type_id = found
            if bits % 8:
                return None
            total += bits // 8
        return total

    def _strip(self, type_id: int) -> int:
        for _ in self._starts:
            if self._kind(type_id) not in _TRANSPARENT:
                return type_id
            type_id = self._words[self._start(type_id) + 2]
        raise _unreadable("a type is an alias of itself")

    def _member(self, type_id: int, name: str, depth: int = 0) -> tuple[int, int] | None:
        """Return bit offset and type of a member; anonymous members are searched too."""
        if self._kind(type_id) not in (_STRUCT, _UNION):
            return None
        if depth > _MAX_DEPTH:
            raise _unreadable("a structure contains itself")
        at = self._start(type_id)
        info = self._words[at + 1]
        bitfields = info >> 31
        for i in range(info & 0xFFFF):
            name_off, member_type, bits = self._words[at + 3 + 3 * i : at + 6 + 3 * i]
            if bitfields:
                bits &= 0xFFFFFF
            if name_off:
                if self._name_at(name_off) == name:
                    return bits, member_type
                continue
            inner = self._member(self._strip(member_type), name, depth + 1)
            if inner is not None:
                return bits + inner[0], inner[1]
        return None

    def enumerators(self, enum_name: str) -> dict[int, str]:
        """Return value to name of an enumeration; empty if this kernel has none of this name."""
        for type_id in self._find(enum_name, frozenset({_ENUM})):
            at = self._start(type_id)
            count = self._words[at + 1] & 0xFFFF
            return {
                self._words[at + 4 + 2 * i]: self._name_at(self._words[at + 3 + 2 * i])
                for i in range(count)
            }
        return {}


def _unreadable(why: str) -> UnsupportedError:
    return UnsupportedError(
        f"the kernel's BTF cannot be understood: {why}",
        "report this with the output of: bpftool btf dump file /sys/kernel/btf/vmlinux format raw",
    )
