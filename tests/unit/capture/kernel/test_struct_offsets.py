"""Offsets come from BTF, and a kernel without a member is refused by that member's name."""

from __future__ import annotations

import pytest

from arenatrace.capture.kernel.struct_offsets import MEMBERS, OPTIONAL, offsets
from arenatrace.errors import UnsupportedError
from tests.unit.capture.kernel.kernel_blob import kernel
from tests.unit.capture.probes.probe_source import guarded, offset_macros, text, unguarded


def _macro(struct_name: str, path: tuple[str, ...]) -> str:
    return "AT_OFF_" + "__".join((struct_name, *path))


def test_every_member_gets_its_macro() -> None:
    found = offsets(kernel())
    assert set(found) == {_macro(*member) for member in MEMBERS}


def test_offsets_are_those_of_the_kernel() -> None:
    found = offsets(kernel())
    assert found["AT_OFF_bpf_arena__user_vm_start"] == 8
    assert found["AT_OFF_bpf_arena__user_vm_end"] == 16
    ksym = [found[f"AT_OFF_bpf_prog_aux__ksym__{name}"] for name in ("end", "name", "start")]
    assert [offset - ksym[0] for offset in ksym] == [0, 8, 16]


@pytest.mark.parametrize("member", [m for m in MEMBERS if m not in OPTIONAL], ids=repr)
def test_missing_member_is_named(member: tuple[str, tuple[str, ...]]) -> None:
    struct_name, path = member
    with pytest.raises(UnsupportedError) as caught:
        offsets(kernel(without=[member]))
    assert caught.value.message.endswith(f"no {struct_name}.{'.'.join(path)}")


def test_all_missing_members_are_named() -> None:
    gone = [("bpf_map", ("id",)), ("vm_fault", ("vma",))]
    with pytest.raises(UnsupportedError, match=r"no bpf_map\.id, vm_fault\.vma$"):
        offsets(kernel(without=gone))


@pytest.mark.parametrize("member", OPTIONAL, ids=repr)
def test_optional_member_may_be_missing(member: tuple[str, tuple[str, ...]]) -> None:
    found = offsets(kernel(without=[member]))
    assert set(found) == {_macro(*other) for other in MEMBERS if other != member}


def test_map_must_be_the_first_arena_member() -> None:
    """The probes use the arena pointer as the map pointer."""
    with pytest.raises(UnsupportedError, match=r"bpf_arena\.map at offset 0"):
        offsets(kernel(map_bits=64))


def test_the_probes_read_exactly_these_members() -> None:
    assert offset_macros(text()) == {_macro(*member) for member in MEMBERS}


@pytest.mark.parametrize(("member", "functions"), OPTIONAL.items(), ids=repr)
def test_optional_member_is_read_only_by_its_probes(
    member: tuple[str, tuple[str, ...]], functions: tuple[str, ...]
) -> None:
    macro = _macro(*member)
    assert macro not in offset_macros(unguarded())
    readers = {guard for guard, body in guarded().items() if macro in offset_macros(body)}
    assert readers == {f"AT_PROBE_{function}" for function in functions}
