"""What the probes need to recognise stacks instead of walking each one.

They read the kernel's stacks in place, by a kernel function, bpf_rdonly_cast(), that BCC cannot
call: in its place the source calls a helper that there is not, and the instructions are mended
before they are loaded.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import mmap
import os
import re
import struct
from dataclasses import dataclass
from pathlib import Path

from arenatrace.capture.kernel import machine
from arenatrace.capture.kernel.btf import Btf

KALLSYMS = Path("/proc/kallsyms")

#: Set to anything, every stack that is recognised is held against a walk: for tests.
CHECK_EVERY = "ARENATRACE_CHECK_EVERY_STACK"

#: Tracers put the address of one of these where a return address was, and keep that elsewhere.
_HOOKS = ("return_to_handler", "arch_rethook_trampoline")

#: The number of the helper that there is not.
MARK = 0x5CA57
_INSTRUCTION = struct.Struct("<BBhi")
_CALL = 0x85
#: In the upper half of the register byte: the number is a kernel function's BTF id.
_PSEUDO_KFUNC_CALL = 2 << 4


@dataclass(frozen=True)
class StackMemory:
    """A kernel in which stacks can be recognised."""

    macros: tuple[str, ...]
    cast_id: int


@dataclass(frozen=True)
class StackDoubt:
    """A stack was taken for another one: so may be ``uses`` more, up to that time (ns)."""

    uses: int
    last_ns: int


def stack_memory(
    btf: Btf, arch: str | None = None, kallsyms: Path = KALLSYMS
) -> StackMemory | None:
    """What this kernel offers, or None where every stack has to be walked.

    That is on machines other than x86_64, on kernels without bpf_rdonly_cast(), and where the
    addresses of the kernel's symbols are hidden from us.
    """
    cast_id, regs_id = btf.function_id("bpf_rdonly_cast"), btf.struct_id("pt_regs")
    if (arch or machine.arch()) != "x86_64" or cast_id is None or regs_id is None:
        return None
    if btf.offset_of("pt_regs", "r15") != 0:
        return None
    hooks = hook_addresses(kallsyms)
    if hooks is None:
        return None
    symbols = [f"AT_SYM_{name}={address:#x}ULL" for name, address in hooks.items()]
    checked = ["AT_RECHECK=1"] if os.environ.get(CHECK_EVERY) else []
    return StackMemory(
        (
            "AT_REMEMBER_STACKS",
            f"AT_RDONLY_CAST={MARK:#x}",
            f"AT_BTF_ID_pt_regs={regs_id}",
            *symbols,
            *checked,
        ),
        cast_id,
    )


def hook_addresses(kallsyms: Path = KALLSYMS) -> dict[str, int] | None:
    """Where the functions are that stand in for return addresses; 0: this kernel has none.

    None if the kernel does not show its addresses.
    """
    try:
        text = kallsyms.read_bytes()
    except OSError:
        return None
    if not _address_of("_stext", text):
        return None
    return {name: _address_of(name, text) for name in _HOOKS}


def _address_of(symbol: str, kallsyms: bytes) -> int:
    match = re.search(rb"^([0-9a-f]+) \S " + symbol.encode() + rb"$", kallsyms, re.MULTILINE)
    return int(match[1], 16) if match is not None else 0


def mend_calls(address: int, size: int, cast_id: int) -> int:
    """Make the calls of ``MARK`` in the instructions there calls of a kernel function.

    ``address`` and ``size`` (bytes) are those of the program in this process. Returns how many
    there were. OSError if the instructions cannot be written to.
    """
    _make_writable(address, size)
    code = (ctypes.c_ubyte * size).from_address(address)
    mended = 0
    for at in range(0, size, _INSTRUCTION.size):
        opcode, registers, offset, number = _INSTRUCTION.unpack_from(code, at)
        if (opcode, registers, number) == (_CALL, 0, MARK):
            _INSTRUCTION.pack_into(code, at, _CALL, _PSEUDO_KFUNC_CALL, offset, cast_id)
            mended += 1
    return mended


def _make_writable(address: int, size: int) -> None:
    start = address & ~(mmap.PAGESIZE - 1)
    length = address + size - start
    libc = ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True)
    if libc.mprotect(
        ctypes.c_void_p(start), ctypes.c_size_t(length), mmap.PROT_READ | mmap.PROT_WRITE
    ):
        raise OSError(ctypes.get_errno(), "mprotect")
