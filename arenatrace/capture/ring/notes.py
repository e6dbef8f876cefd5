"""Records of the metadata ring.

The layouts are those of ``probes/arena_events.h``; a test compiles that header and compares sizes
and offsets.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from arenatrace.schema import WireFlag


class NoteType(IntEnum):
    """enum at_note_type."""

    ARENA = 1
    PROG = 2
    FUNC = 3
    LINES = 4
    STRINGS = 5
    FAULT_STACK = 6
    SYMBOL = 7
    PAGE_STACK = 8


#: struct at_note, which starts every note: type, flags, ts_ns, key.
HEAD = struct.Struct("<IIQQ")
ARENA = struct.Struct("<QQQIII4x16s")
PROG = struct.Struct("<QQQIIIII4x8s16s128s")
FUNC = struct.Struct("<QQ128s")
LINES_HEAD = struct.Struct("<II")
LINES_PER_NOTE = 64
STRINGS_HEAD = struct.Struct("<III4x")
STRINGS_CHUNK = 4096
FAULT_STACK_HEAD = struct.Struct("<QQQII8s16s")
STACK_FRAMES = 64
SYMBOL_BYTES = 128
PAGE_STACK_HEAD = struct.Struct("<I4x")

#: Bytes of each note in the ring, header included.
SIZES: dict[NoteType, int] = {
    NoteType.ARENA: HEAD.size + ARENA.size,
    NoteType.PROG: HEAD.size + PROG.size,
    NoteType.FUNC: HEAD.size + FUNC.size,
    NoteType.LINES: HEAD.size + LINES_HEAD.size + LINES_PER_NOTE * (8 + 16),
    NoteType.STRINGS: HEAD.size + STRINGS_HEAD.size + STRINGS_CHUNK,
    NoteType.FAULT_STACK: HEAD.size + FAULT_STACK_HEAD.size + STACK_FRAMES * 8,
    NoteType.SYMBOL: HEAD.size + SYMBOL_BYTES,
    NoteType.PAGE_STACK: HEAD.size + PAGE_STACK_HEAD.size + STACK_FRAMES * 8,
}

_LINFO = struct.Struct("<IIII")
_SYMBOL = re.compile(
    r"^(?P<name>.+)\+0x(?P<offset>[0-9a-f]+)/0x(?P<size>[0-9a-f]+)(?: \[(?P<module>[^\]]+)\])?$"
)


@dataclass(frozen=True)
class ArenaNote:
    """An arena at ``ts_ns``; addresses are 0 where not yet set."""

    ts_ns: int
    ptr: int
    kern_vm_addr: int
    user_vm_start: int
    user_vm_end: int
    max_entries: int
    map_flags: int
    id: int
    name: str
    preexisting: bool


@dataclass(frozen=True)
class ProgNote:
    """A program; ``key`` is its struct bpf_prog_aux *."""

    ts_ns: int
    key: int
    start: int
    end: int
    arena: int
    id: int
    type: int
    func_cnt: int
    nr_linfo: int
    btf_id: int
    tag: str
    name: str
    ksym: str
    preexisting: bool


@dataclass(frozen=True)
class FuncNote:
    """One subprogram of the program ``key``."""

    key: int
    start: int
    end: int
    ksym: str


@dataclass(frozen=True)
class LinesNote:
    """A piece of a program's line table: (address, file offset, line offset, line, column)."""

    key: int
    first: int
    rows: tuple[tuple[int, int, int, int, int], ...]


@dataclass(frozen=True)
class StringsNote:
    """A piece of a BTF object's string section."""

    btf_id: int
    offset: int
    total: int
    data: bytes


@dataclass(frozen=True)
class FaultStackNote:
    """The stack of a fault and its blamed program (start 0: none)."""

    ts_ns: int
    cpu: int
    tid: int
    start: int
    end: int
    arena: int
    id: int
    tag: str
    name: str
    frames: tuple[int, ...]


@dataclass(frozen=True)
class SymbolNote:
    """The kernel's name for a code address; name None where it has none."""

    ts_ns: int
    addr: int
    name: str | None
    offset: int
    size: int
    module: str | None


@dataclass(frozen=True)
class PageStackNote:
    """A stack of page operations; their events have ``hash`` in its place."""

    hash: int
    frames: tuple[int, ...]


Note = (
    ArenaNote
    | ProgNote
    | FuncNote
    | LinesNote
    | StringsNote
    | FaultStackNote
    | SymbolNote
    | PageStackNote
)


def _text(raw: bytes) -> str:
    return raw.split(b"\0", 1)[0].decode("utf-8", "backslashreplace")


def parse(raw: bytes) -> Note:
    """Decode one note.

    Raises:
        ValueError: unknown type or a length that is not that type's.
    """
    if len(raw) < HEAD.size:
        raise ValueError(f"note of {len(raw)} bytes")
    kind, flags, ts_ns, key = HEAD.unpack_from(raw)
    note_type = NoteType(kind)
    # a record has exactly the reserved size: the ring does not round up
    if len(raw) != SIZES[note_type]:
        raise ValueError(f"{note_type.name} note of {len(raw)} bytes")
    return _PARSERS[note_type](raw, flags, ts_ns, key)


def _arena(raw: bytes, flags: int, ts_ns: int, key: int) -> ArenaNote:
    kern, start, end, entries, map_flags, map_id, name = ARENA.unpack_from(raw, HEAD.size)
    return ArenaNote(
        ts_ns, key, kern, start, end, entries, map_flags, map_id, _text(name),
        bool(flags & WireFlag.PREEXISTING),
    )  # fmt: skip


def _prog(raw: bytes, flags: int, ts_ns: int, key: int) -> ProgNote:
    fields = PROG.unpack_from(raw, HEAD.size)
    *numbers, tag, name, ksym = fields
    start, end, arena, prog_id, prog_type, func_cnt, nr_linfo, btf_id = numbers
    return ProgNote(
        ts_ns, key, start, end, arena, prog_id, prog_type, func_cnt, nr_linfo, btf_id,
        tag.hex(), _text(name), _text(ksym), bool(flags & WireFlag.PREEXISTING),
    )  # fmt: skip


def _func(raw: bytes, _flags: int, _ts_ns: int, key: int) -> FuncNote:
    start, end, ksym = FUNC.unpack_from(raw, HEAD.size)
    return FuncNote(key, start, end, _text(ksym))


def _lines(raw: bytes, _flags: int, _ts_ns: int, key: int) -> LinesNote:
    at = HEAD.size
    first, count = LINES_HEAD.unpack_from(raw, at)
    at += LINES_HEAD.size
    count = min(count, LINES_PER_NOTE)
    addresses = struct.unpack_from(f"<{count}Q", raw, at)
    at += LINES_PER_NOTE * 8
    rows = []
    for i, address in enumerate(addresses):
        _insn, file_off, line_off, line_col = _LINFO.unpack_from(raw, at + i * _LINFO.size)
        # BPF_LINE_INFO_LINE_NUM and BPF_LINE_INFO_LINE_COL of the uapi header
        rows.append((address, file_off, line_off, line_col >> 10, line_col & 0x3FF))
    return LinesNote(key, first, tuple(rows))


def _strings(raw: bytes, _flags: int, _ts_ns: int, key: int) -> StringsNote:
    offset, length, total = STRINGS_HEAD.unpack_from(raw, HEAD.size)
    start = HEAD.size + STRINGS_HEAD.size
    return StringsNote(key, offset, total, raw[start : start + min(length, STRINGS_CHUNK)])


def _fault_stack(raw: bytes, _flags: int, ts_ns: int, key: int) -> FaultStackNote:
    start, end, arena, prog_id, frame_bytes, tag, name = FAULT_STACK_HEAD.unpack_from(
        raw, HEAD.size
    )
    frames = _frames(raw, HEAD.size + FAULT_STACK_HEAD.size, frame_bytes // 8)
    return FaultStackNote(
        ts_ns, key >> 32, key & 0xFFFFFFFF, start, end, arena, prog_id, tag.hex(), _text(name),
        frames,
    )  # fmt: skip


def _page_stack(raw: bytes, _flags: int, _ts_ns: int, key: int) -> PageStackNote:
    (count,) = PAGE_STACK_HEAD.unpack_from(raw, HEAD.size)
    return PageStackNote(key, _frames(raw, HEAD.size + PAGE_STACK_HEAD.size, count))


def _frames(raw: bytes, at: int, count: int) -> tuple[int, ...]:
    return struct.unpack_from(f"<{min(count, STACK_FRAMES)}Q", raw, at)


def _symbol(raw: bytes, _flags: int, ts_ns: int, key: int) -> SymbolNote:
    match = _SYMBOL.match(_text(raw[HEAD.size :]))
    if match is None:
        return SymbolNote(ts_ns, key, None, 0, 0, None)
    offset, size = int(match["offset"], 16), int(match["size"], 16)
    return SymbolNote(ts_ns, key, match["name"], offset, size, match["module"])


_PARSERS: dict[NoteType, Callable[[bytes, int, int, int], Note]] = {
    NoteType.ARENA: _arena,
    NoteType.PROG: _prog,
    NoteType.FUNC: _func,
    NoteType.LINES: _lines,
    NoteType.STRINGS: _strings,
    NoteType.FAULT_STACK: _fault_stack,
    NoteType.SYMBOL: _symbol,
    NoteType.PAGE_STACK: _page_stack,
}
