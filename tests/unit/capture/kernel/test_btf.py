"""The BTF reader answers exactly, and refuses what it cannot read in one way only."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arenatrace.capture.kernel.btf import Btf, Function
from arenatrace.errors import UnsupportedError
from tests.unit.capture.kernel.btf_blob import CONST, FWD, PTR, TYPEDEF, UNION, Blob


def _sample() -> Blob:
    """Types of every shape the probes' structures have."""
    blob = Blob()
    integer = blob.integer()
    # long names first, so that the short ones are stored as their tails
    ksym = blob.struct("bpf_ksym", [("bpf_start", integer, 0), ("start", integer, 64)])
    alias = blob.add(TYPEDEF, "ksym_t", blob.add(CONST, "", blob.add(TYPEDEF, "inner_t", ksym)))
    deep = blob.struct("", [("deepest", integer, 32)])
    union = blob.struct("", [("left", integer, 0), ("", deep, 32)], kind=UNION)
    blob.struct(
        "aux", [("id", integer, 0), ("", union, 64), ("ksym", alias, 128), ("end", integer, 256)]
    )
    blob.struct(
        "flags",
        [
            ("whole", integer, 0),
            ("bit", integer, 1 << 24 | 35),
            ("byte", integer, 8 << 24 | 40),
            ("after", integer, 64),
        ],
        bitfields=True,
    )
    blob.add(FWD, "declared", 0)
    blob.add(PTR, "", 0)
    blob.enum("colour", {"RED": 0, "BLUE": 7})
    blob.function("handle_fault", ["addr", "is_write"])
    blob.function("fault", [])
    return blob


def _ask_everything(btf: Btf) -> list[object]:
    return [
        btf.function("handle_fault"),
        btf.function("fault"),
        btf.function("absent"),
        btf.has_struct("aux"),
        btf.offset_of("aux", "ksym", "start"),
        btf.offset_of("aux", "deepest"),
        btf.offset_of("aux", "absent"),
        btf.offset_of("flags", "after"),
        btf.enumerators("colour"),
    ]


@pytest.fixture
def btf() -> Btf:
    return Btf(_sample().encode())


@pytest.mark.parametrize(
    ("path", "offset"),
    [
        (("aux", "id"), 0),
        (("aux", "left"), 8),
        (("aux", "deepest"), 16),
        (("aux", "ksym"), 16),
        (("aux", "ksym", "start"), 24),
        (("aux", "ksym", "bpf_start"), 16),
        (("aux", "end"), 32),
        (("aux", "start"), None),
        (("aux", "id", "start"), None),
        (("aux", "absent"), None),
        (("absent", "id"), None),
        (("flags", "whole"), 0),
        (("flags", "bit"), None),
        (("flags", "byte"), 5),
        (("flags", "after"), 8),
    ],
)
def test_offset_of(btf: Btf, path: tuple[str, ...], offset: int | None) -> None:
    """Typedefs, qualifiers, anonymous members and structures with bit-fields are followed."""
    assert btf.offset_of(*path) == offset


def test_functions_match_their_full_name(btf: Btf) -> None:
    """``fault`` is stored as the tail of ``handle_fault`` and is still another function."""
    assert btf.function("handle_fault") == Function("handle_fault", ("addr", "is_write"))
    assert btf.function("fault") == Function("fault", ())
    assert btf.function("e_fault") is None
    assert btf.function("aux") is None


def test_declared_structure_is_not_defined(btf: Btf) -> None:
    assert btf.has_struct("aux")
    assert not btf.has_struct("declared")
    assert not btf.has_struct("colour")
    assert not btf.has_struct("ksym_t")


def test_enumerators(btf: Btf) -> None:
    assert btf.enumerators("colour") == {0: "RED", 7: "BLUE"}
    assert btf.enumerators("aux") == {}


def test_the_order_of_the_sections_does_not_matter(btf: Btf) -> None:
    other = Btf(_sample().encode(strings_first=True))
    assert _ask_everything(other) == _ask_everything(btf)


@pytest.mark.parametrize("strings_first", [False, True])
def test_truncated_btf_is_refused(strings_first: bool) -> None:
    whole = _sample().encode(strings_first=strings_first)
    for length in range(len(whole)):
        with pytest.raises(UnsupportedError, match="BTF cannot be understood"):
            Btf(whole[:length])


@pytest.mark.parametrize("at", [0, 2])
def test_wrong_magic_or_version_is_refused(at: int) -> None:
    blob = bytearray(_sample().encode())
    blob[at] ^= 0xFF
    with pytest.raises(UnsupportedError, match="not BTF version 1"):
        Btf(bytes(blob))


@settings(deadline=None)
@given(st.data())
def test_damaged_btf_raises_only_unsupported_error(data: st.DataObject) -> None:
    """With any byte overwritten, the reader answers or raises UnsupportedError, and terminates."""
    blob = bytearray(_sample().encode())
    for _ in range(data.draw(st.integers(1, 3))):
        blob[data.draw(st.integers(0, len(blob) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(UnsupportedError):
        _ask_everything(Btf(bytes(blob)))


def test_bad_type_id_in_any_word_is_handled() -> None:
    """Every word is set to type ids out of range, zero, and pointing back."""
    sample = _sample()
    for at in range(0, len(sample.types), 4):
        for value in (0, 1, 2, 3, 4, 5, 6, 7, 8, sample.count, sample.count + 1, 0xFFFFFFFF):
            blob = _sample()
            blob.types[at : at + 4] = struct.pack("<I", value)
            with contextlib.suppress(UnsupportedError):
                _ask_everything(Btf(blob.encode()))


def test_void_is_not_the_first_type() -> None:
    """Type id 0 is void: a typedef of it has no members, even if type 1 is a structure."""
    blob = Blob()
    integer_to_be = 2
    blob.struct("first", [("id", integer_to_be, 0)])
    blob.integer()
    nothing = blob.add(TYPEDEF, "nothing", 0)
    blob.struct("outer", [("hole", nothing, 0)])
    assert Btf(blob.encode()).offset_of("outer", "hole", "id") is None


def test_function_without_prototype_is_refused() -> None:
    blob = Blob()
    integer = blob.integer()
    blob.add(12, "odd", integer)
    with pytest.raises(UnsupportedError):
        Btf(blob.encode()).function("odd")


def test_cyclic_typedefs_are_refused() -> None:
    blob = Blob()
    blob.add(TYPEDEF, "a", 2)
    blob.add(TYPEDEF, "b", 1)
    blob.struct("outer", [("member", 1, 0)])
    with pytest.raises(UnsupportedError):
        Btf(blob.encode()).offset_of("outer", "member", "x")


def test_recursive_structure_is_refused() -> None:
    blob = Blob()
    blob.struct("endless", [("", 1, 0)])
    with pytest.raises(UnsupportedError):
        Btf(blob.encode()).offset_of("endless", "x")


def test_kernel_without_btf_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="this kernel has no BTF") as caught:
        Btf.of_running_kernel(tmp_path / "vmlinux")
    assert "CONFIG_DEBUG_INFO_BTF" in caught.value.hint


def test_unreadable_btf_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="cannot read") as caught:
        Btf.of_running_kernel(tmp_path)
    assert caught.value.hint == "run as root"


def test_btf_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "vmlinux"
    file.write_bytes(_sample().encode())
    assert Btf.of_running_kernel(file).offset_of("aux", "id") == 0
