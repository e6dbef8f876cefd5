"""The C header of the probes and the Python tables that read its records agree.

A parser in this directory checks it without a compiler. The system's C compiler, where installed,
confirms the parser's offsets and sizes.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest

from arenatrace.capture.probes.loader import LOSS_FIELDS
from arenatrace.capture.ring import notes
from arenatrace.capture.ring.notes import NoteType
from arenatrace.capture.ring.ring_buffer import HEADER_BYTES, RECORD
from arenatrace.schema import EVENT_SIZE, WIRE, Kind, WireFlag
from tests.unit.capture.probes.c_header import HEADER, defines, enums, structs

#: Wire format to the C type that has it.
_C_TYPES = {
    "<u8": "unsigned long long",
    "<i8": "long long",
    "<u4": "unsigned int",
    "<u2": "unsigned short",
    "u1": "unsigned char",
    "S16": "char",
}
#: The notes' structures, without struct at_note and without their arrays at the end.
_NOTE_STRUCTS: dict[str, tuple[struct.Struct, str]] = {
    "at_note": (notes.HEAD, ""),
    "at_note_arena": (notes.ARENA, ""),
    "at_note_prog": (notes.PROG, ""),
    "at_note_func": (notes.FUNC, ""),
    "at_note_lines": (notes.LINES_HEAD, "addr"),
    "at_note_strings": (notes.STRINGS_HEAD, "data"),
    "at_note_fault_stack": (notes.FAULT_STACK_HEAD, "frames"),
    "at_note_page_stack": (notes.PAGE_STACK_HEAD, "frames"),
}


def test_event_members() -> None:
    members = structs()["at_event"].members
    assert [(m.name, m.type, m.offset) for m in members] == [
        (field.name, _C_TYPES[field.fmt], field.offset) for field in WIRE
    ]
    assert [m.size for m in members] == [np.dtype(field.fmt).itemsize for field in WIRE]


def test_loss_members() -> None:
    loss = structs()["at_loss"]
    offsets = np.dtype(LOSS_FIELDS).fields
    assert offsets is not None
    assert [(m.name, m.type, m.offset) for m in loss.members] == [
        (name, _C_TYPES[fmt], offsets[name][1]) for name, fmt in LOSS_FIELDS
    ]
    assert loss.size == np.dtype(LOSS_FIELDS).itemsize


def test_event_size() -> None:
    assert structs()["at_event"].size == EVENT_SIZE
    assert RECORD.itemsize == HEADER_BYTES + EVENT_SIZE


def test_ring_records_need_no_padding() -> None:
    """The ring rounds records up to 8 bytes; events are read as an array without gaps."""
    assert RECORD.itemsize % 8 == 0


def test_kinds() -> None:
    wire = enums()["at_kind"]
    top = wire.pop("AT_KIND_MAX")
    # LOST is the reader's own: no probe sends it
    assert wire == {f"AT_{kind.name}": kind.value for kind in Kind if kind is not Kind.LOST}
    assert Kind.LOST.value not in wire.values()
    assert top > max(Kind)


def test_flags() -> None:
    assert enums()["at_flag"] == {f"AT_F_{flag.name}": flag.value for flag in WireFlag}


def test_note_types() -> None:
    wire = enums()["at_note_type"]
    assert wire.pop("AT_NOTE_MAX") > max(NoteType)
    assert wire == {f"AT_NOTE_{kind.name}": kind.value for kind in NoteType}


@pytest.mark.parametrize("kind", NoteType)
def test_note_sizes(kind: NoteType) -> None:
    assert structs()[f"at_note_{kind.name.lower()}"].size == notes.SIZES[kind]


@pytest.mark.parametrize("name", _NOTE_STRUCTS)
def test_note_members(name: str) -> None:
    """A value at a member's offset is unpacked at that member's position."""
    layout, stop = _NOTE_STRUCTS[name]
    raw = bytearray(structs()[name].size)
    base = 0 if name == "at_note" else notes.HEAD.size
    expected: list[int | bytes] = []
    for number, member in enumerate(structs()[name].members, 1):
        if member.name == stop:
            assert member.offset == base + layout.size
            break
        if member.name in ("note", "pad"):
            continue
        value = bytes([number]) * member.size
        raw[member.offset : member.offset + member.size] = value
        is_bytes = member.type in ("char", "unsigned char")
        expected.append(value if is_bytes else int.from_bytes(value, "little"))
    assert list(layout.unpack_from(raw, base)) == expected


def test_arrays_of_the_notes() -> None:
    numbers = defines()
    assert numbers["AT_LINES"] == notes.LINES_PER_NOTE
    assert numbers["AT_CHUNK"] == notes.STRINGS_CHUNK
    assert numbers["AT_FRAMES"] == notes.STACK_FRAMES
    assert numbers["AT_KSYM_LEN"] == notes.SYMBOL_BYTES
    lines = {member.name: member.offset for member in structs()["at_note_lines"].members}
    assert lines["linfo"] == lines["addr"] + 8 * notes.LINES_PER_NOTE
    assert structs()["at_linfo"].size == notes._LINFO.size


def _parsed_layout() -> dict[str, int]:
    layout = {f"sizeof {name}": struct_.size for name, struct_ in structs().items()}
    for name, struct_ in structs().items():
        layout |= {f"offset {name}.{m.name}": m.offset for m in struct_.members}
        layout |= {f"size {name}.{m.name}": m.size for m in struct_.members}
    for values in enums().values():
        layout |= {f"value {label}": value for label, value in values.items()}
    return layout


def _c_program() -> str:
    lines = [f'#include "{HEADER}"', "#include <stddef.h>", "#include <stdio.h>", "int main(void)"]
    lines.append("{")

    def show(label: str, expression: str) -> None:
        lines.append(f'printf("%s=%lld\\n", "{label}", (long long)({expression}));')

    for name, struct_ in structs().items():
        show(f"sizeof {name}", f"sizeof(struct {name})")
        for member in struct_.members:
            show(f"offset {name}.{member.name}", f"offsetof(struct {name}, {member.name})")
            show(f"size {name}.{member.name}", f"sizeof(((struct {name} *)0)->{member.name})")
    for values in enums().values():
        for label in values:
            show(f"value {label}", label)
    return "\n".join([*lines, "return 0;", "}", ""])


def test_parser_and_compiler_agree(tmp_path: Path) -> None:
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler (cc, gcc or clang) is installed")
    source, program = tmp_path / "layout.c", tmp_path / "layout"
    source.write_text(_c_program())
    subprocess.run([compiler, "-Wall", "-Werror", "-o", program, source], check=True)
    output = subprocess.run([program], check=True, capture_output=True, text=True).stdout
    pairs = (line.partition("=") for line in output.splitlines())
    found = {key: int(value) for key, _, value in pairs}
    assert found == _parsed_layout()
