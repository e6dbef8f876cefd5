"""Notes packed by hand at the header's offsets decode to the same values."""

from __future__ import annotations

import struct

import pytest

from arenatrace.capture.ring import notes
from arenatrace.capture.ring.notes import (
    ArenaNote,
    FaultStackNote,
    FuncNote,
    LinesNote,
    NoteType,
    ProgNote,
    StringsNote,
    SymbolNote,
    parse,
)
from arenatrace.schema import WireFlag
from tests.unit.capture.probes.c_header import structs


def _pack(
    kind: NoteType, *, flags: int = 0, ts_ns: int = 5, key: int = 9, **values: object
) -> bytes:
    """A note with ``values`` at the places the C header gives them."""
    layout = structs()[f"at_note_{kind.name.lower()}"]
    raw = bytearray(layout.size)
    struct.pack_into("<IIQQ", raw, 0, kind, flags, ts_ns, key)
    places = {member.name: member for member in layout.members}
    for name, value in values.items():
        member = places[name]
        data = value if isinstance(value, bytes) else None
        if isinstance(value, int):
            data = value.to_bytes(member.size, "little")
        assert data is not None
        assert len(data) <= member.size
        raw[member.offset : member.offset + len(data)] = data
    return bytes(raw)


def _symbol(text: bytes) -> SymbolNote:
    note = parse(_pack(NoteType.SYMBOL, key=0xFFFF_FFFF_8100_0000, text=text))
    assert isinstance(note, SymbolNote)
    return note


@pytest.mark.parametrize("flags", [0, WireFlag.PREEXISTING])
def test_arena(flags: int) -> None:
    raw = _pack(
        NoteType.ARENA,
        flags=flags,
        kern_vm_addr=0xFFFF_C900_0000_0000,
        user_vm_start=0x7F00_0000_0000,
        user_vm_end=0x7F00_0001_0000,
        max_entries=16,
        map_flags=1 << 10,
        id=77,
        name=b"arena\0rest",
    )
    assert parse(raw) == ArenaNote(
        5, 9, 0xFFFF_C900_0000_0000, 0x7F00_0000_0000, 0x7F00_0001_0000, 16, 1 << 10, 77, "arena",
        preexisting=bool(flags),
    )  # fmt: skip


@pytest.mark.parametrize("flags", [0, WireFlag.PREEXISTING])
def test_prog(flags: int) -> None:
    raw = _pack(
        NoteType.PROG,
        flags=flags,
        start=0x1000,
        end=0x2000,
        arena=0x3000,
        id=4,
        type=31,
        func_cnt=5,
        nr_linfo=6,
        btf_id=7,
        tag=bytes.fromhex("0123456789abcdef"),
        name=b"fifteen_letters",
        ksym=b"bpf_prog_0123456789abcdef_fifteen_letters_and_more",
    )
    assert parse(raw) == ProgNote(
        5, 9, 0x1000, 0x2000, 0x3000, 4, 31, 5, 6, 7, "0123456789abcdef", "fifteen_letters",
        "bpf_prog_0123456789abcdef_fifteen_letters_and_more", preexisting=bool(flags),
    )  # fmt: skip


def test_func() -> None:
    raw = _pack(NoteType.FUNC, start=1, end=2, ksym=b"bpf_prog_aa_sub")
    assert parse(raw) == FuncNote(9, 1, 2, "bpf_prog_aa_sub")


def test_lines() -> None:
    linfo = struct.pack("<IIII", 3, 11, 22, 123 << 10 | 45) + struct.pack("<IIII", 4, 33, 44, 1023)
    raw = _pack(
        NoteType.LINES, first=64, count=2, addr=struct.pack("<QQ", 0x1000, 0x1008), linfo=linfo
    )
    assert parse(raw) == LinesNote(9, 64, ((0x1000, 11, 22, 123, 45), (0x1008, 33, 44, 0, 1023)))


def test_line_count_is_limited_to_a_chunk() -> None:
    addresses = struct.pack("<64Q", *range(64))
    for count in (64, 65, 0xFFFFFFFF):
        note = parse(_pack(NoteType.LINES, count=count, addr=addresses))
        assert isinstance(note, LinesNote)
        assert [row[0] for row in note.rows] == list(range(64))


def test_strings() -> None:
    raw = _pack(NoteType.STRINGS, offset=4096, len=5, total=4101, data=b"a\0bc\0beyond")
    assert parse(raw) == StringsNote(9, 4096, 4101, b"a\0bc\0")


def test_strings_longer_than_a_chunk_are_cut_to_it() -> None:
    note = parse(_pack(NoteType.STRINGS, len=0xFFFFFFFF, data=b"x" * 4096))
    assert isinstance(note, StringsNote)
    assert note.data == b"x" * 4096


def test_stack() -> None:
    raw = _pack(
        NoteType.FAULT_STACK,
        key=3 << 32 | 0xFFFF_FFF0,
        start=0x1000,
        end=0x2000,
        arena=0x3000,
        id=4,
        frame_bytes=16,
        tag=bytes(range(8)),
        name=b"prog",
        frames=struct.pack("<QQQ", 7, 8, 9),
    )
    assert parse(raw) == FaultStackNote(
        5, 3, 0xFFFF_FFF0, 0x1000, 0x2000, 0x3000, 4, "0001020304050607", "prog", (7, 8)
    )


def test_frame_count_is_limited_to_the_note() -> None:
    note = parse(_pack(NoteType.FAULT_STACK, frame_bytes=0xFFFFFFFF))
    assert isinstance(note, FaultStackNote)
    assert note.frames == (0,) * 64


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (b"arenapoke_read+0x9/0x20 [arenapoke]", ("arenapoke_read", 9, 0x20, "arenapoke")),
        (b"do_syscall_64+0x5d/0x170", ("do_syscall_64", 0x5D, 0x170, None)),
        (b"foo.isra.0+0x2e/0x60", ("foo.isra.0", 0x2E, 0x60, None)),
        (b"foo.isra.0+0x2e/0x60 [my_mod]", ("foo.isra.0", 0x2E, 0x60, "my_mod")),
        (b"foo[bar].cold+0x0/0xabcdef", ("foo[bar].cold", 0, 0xABCDEF, None)),
        (b"a+b+0x1/0x2", ("a+b", 1, 2, None)),
        (
            b"bpf_prog_0123456789abcdef_set_cmask+0x1f/0x88",
            ("bpf_prog_0123456789abcdef_set_cmask", 0x1F, 0x88, None),
        ),
        (b"0xffffffff81000000", (None, 0, 0, None)),
        (b"", (None, 0, 0, None)),
        (b"(null)", (None, 0, 0, None)),
        (b"name_cut_in_the_middle+0x", (None, 0, 0, None)),
        (b"name+0x1/0x2 [module_cut", (None, 0, 0, None)),
    ],
)
def test_symbol(text: bytes, parts: tuple[str | None, int, int, str | None]) -> None:
    note = _symbol(text)
    assert (note.name, note.offset, note.size, note.module) == parts
    assert (note.ts_ns, note.addr) == (5, 0xFFFF_FFFF_8100_0000)


def test_invalid_utf8_is_escaped() -> None:
    note = parse(_pack(NoteType.ARENA, name=b"a\xff"))
    assert isinstance(note, ArenaNote)
    assert note.name == "a\\xff"


@pytest.mark.parametrize("kind", NoteType)
@pytest.mark.parametrize("change", [-1, 1, 8])
def test_wrong_size_is_refused(kind: NoteType, change: int) -> None:
    raw = _pack(kind)
    with pytest.raises(ValueError, match=kind.name):
        parse((raw + bytes(8))[: len(raw) + change])


@pytest.mark.parametrize("kind", [0, 9, 0xFFFFFFFF])
def test_unknown_type_is_refused(kind: int) -> None:
    with pytest.raises(ValueError, match="NoteType"):
        parse(struct.pack("<IIQQ", kind, 0, 0, 0))


@pytest.mark.parametrize("length", range(notes.HEAD.size))
def test_note_shorter_than_its_head_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="bytes"):
        parse(_pack(NoteType.FUNC)[:length])
