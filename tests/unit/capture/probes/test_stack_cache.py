"""Detection of the stack cache, and the patch of its kfunc call."""

from __future__ import annotations

import ctypes
import struct
from pathlib import Path

import pytest

from arenatrace.capture.kernel.btf import Btf
from arenatrace.capture.probes.stack_cache import (
    PLACEHOLDER_HELPER,
    detect_stack_cache,
    patch_cast_calls,
    return_hook_addresses,
)
from tests.unit.capture.kernel.btf_blob import Blob

_SHOWN = b"""\
0000000000000000 A fixed_percpu_data
ffffffff81000000 T _stext
ffffffff8153cc90 T return_to_handler
ffffffff8153cd00 T not_return_to_handler
ffffffff8153cd10 T arch_rethook_trampoline
ffffffffc0001000 t return_to_handler_of_mine	[mine]
"""


def _kallsyms(tmp_path: Path, text: bytes) -> Path:
    path = tmp_path / "kallsyms"
    path.write_bytes(text)
    return path


def test_return_hooks_are_found(tmp_path: Path) -> None:
    assert return_hook_addresses(_kallsyms(tmp_path, _SHOWN)) == {
        "return_to_handler": 0xFFFFFFFF8153CC90,
        "arch_rethook_trampoline": 0xFFFFFFFF8153CD10,
    }


def test_missing_return_hooks_are_0(tmp_path: Path) -> None:
    path = _kallsyms(tmp_path, b"ffffffff81000000 T _stext\n")
    assert return_hook_addresses(path) == {"return_to_handler": 0, "arch_rethook_trampoline": 0}


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"0000000000000000 T _stext\n0000000000000000 T return_to_handler\n",
        b"not what it should be",
    ],
)
def test_hidden_addresses_give_none(tmp_path: Path, text: bytes) -> None:
    assert return_hook_addresses(_kallsyms(tmp_path, text)) is None
    assert return_hook_addresses(tmp_path / "none") is None


def _instruction(opcode: int, registers: int, offset: int, number: int) -> bytes:
    return struct.pack("<BBhi", opcode, registers, offset, number)


def test_only_placeholder_calls_are_patched() -> None:
    other = [
        _instruction(0x85, 0, 0, 113),  # a helper
        _instruction(0x85, 0x10, 0, PLACEHOLDER_HELPER),  # a subprogram
        _instruction(0xB7, 1, 0, PLACEHOLDER_HELPER),  # a number
        _instruction(0x95, 0, 0, 0),
    ]
    marked = _instruction(0x85, 0, 0, PLACEHOLDER_HELPER)
    code = b"".join([other[0], marked, *other[1:3], marked, other[3]])
    buffer = ctypes.create_string_buffer(code, len(code))
    assert patch_cast_calls(ctypes.addressof(buffer), len(code), 66649) == 2
    kernel_call = _instruction(0x85, 0x20, 0, 66649)
    expected = b"".join([other[0], kernel_call, *other[1:3], kernel_call, other[3]])
    assert buffer.raw == expected
    assert patch_cast_calls(ctypes.addressof(buffer), len(code), 66649) == 0


def _btf(*, function: bool = True, first: str = "r15") -> Btf:
    blob = Blob()
    number = blob.integer("unsigned long", 8)
    blob.struct("pt_regs", [(first, number, 0), ("r14", number, 64)])
    if function:
        blob.function("bpf_rdonly_cast", ("obj__ign", "btf_id__k"))
    return Btf(blob.encode())


def test_kernel_with_the_stack_cache(tmp_path: Path) -> None:
    cache = detect_stack_cache(_btf(), "x86_64", _kallsyms(tmp_path, _SHOWN))
    assert cache is not None
    # type ids of the blob: 1 integer, 2 structure, 3 prototype, 4 function
    assert cache.cast_id == 4
    assert "AT_BTF_ID_pt_regs=2" in cache.macros
    assert "AT_SYM_return_to_handler=0xffffffff8153cc90ULL" in cache.macros


@pytest.mark.parametrize(
    ("btf", "arch", "text"),
    [
        (_btf(function=False), "x86_64", _SHOWN),
        (_btf(first="other"), "x86_64", _SHOWN),
        (_btf(), "aarch64", _SHOWN),
        (_btf(), "x86_64", b""),
    ],
)
def test_kernels_without_the_stack_cache(tmp_path: Path, btf: Btf, arch: str, text: bytes) -> None:
    assert detect_stack_cache(btf, arch, _kallsyms(tmp_path, text)) is None
