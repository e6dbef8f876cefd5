"""Requirements of the probes' stack cache, which recognises stacks instead of walking them.

The probes read the kernel's stacks in place, through the kfunc bpf_rdonly_cast(). BCC cannot call
kfuncs: the source calls a placeholder helper id, and the loader patches it to the kfunc call.
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

#: Environment variable for tests: compare every recognised stack with a walk.
CHECK_EVERY = "ARENATRACE_CHECK_EVERY_STACK"

#: Functions whose address a tracer puts in place of a return address, which it keeps elsewhere.
_RETURN_HOOKS = ("return_to_handler", "arch_rethook_trampoline")

#: An id that no helper has.
PLACEHOLDER_HELPER = 0x5CA57
_INSTRUCTION = struct.Struct("<BBhi")
_CALL = 0x85
#: In the upper half of the register byte: the immediate is the BTF id of a kfunc.
_PSEUDO_KFUNC_CALL = 2 << 4


@dataclass(frozen=True)
class StackCache:
    """Macros that compile the stack cache in, and the BTF id of bpf_rdonly_cast()."""

    macros: tuple[str, ...]
    cast_id: int


@dataclass(frozen=True)
class StackMismatch:
    """A recognised stack differed from its walk.

    ``uses`` other, unchecked stacks up to ``last_ns`` may be wrong too.
    """

    uses: int
    last_ns: int


def detect_stack_cache(
    btf: Btf, arch: str | None = None, kallsyms: Path = KALLSYMS
) -> StackCache | None:
    """Return what the stack cache needs; None if this kernel does not offer it.

    It needs x86_64, bpf_rdonly_cast(), and visible symbol addresses (CAP_SYSLOG,
    kernel.kptr_restrict). Otherwise every stack is walked.
    """
    cast_id, regs_id = btf.function_id("bpf_rdonly_cast"), btf.struct_id("pt_regs")
    if (arch or machine.arch()) != "x86_64" or cast_id is None or regs_id is None:
        return None
    if btf.offset_of("pt_regs", "r15") != 0:
        return None
    hooks = return_hook_addresses(kallsyms)
    if hooks is None:
        return None
    symbols = [f"AT_SYM_{name}={address:#x}ULL" for name, address in hooks.items()]
    checked = ["AT_CHECK_INTERVAL=1"] if os.environ.get(CHECK_EVERY) else []
    return StackCache(
        (
            "AT_STACK_CACHE",
            f"AT_RDONLY_CAST={PLACEHOLDER_HELPER:#x}",
            f"AT_BTF_ID_pt_regs={regs_id}",
            *symbols,
            *checked,
        ),
        cast_id,
    )


def return_hook_addresses(kallsyms: Path = KALLSYMS) -> dict[str, int] | None:
    """Return the address of each return hook, 0 where the kernel lacks it.

    Returns None if the kernel hides symbol addresses.
    """
    try:
        text = kallsyms.read_bytes()
    except OSError:
        return None
    if not _address_of("_stext", text):
        return None
    return {name: _address_of(name, text) for name in _RETURN_HOOKS}


def _address_of(symbol: str, kallsyms: bytes) -> int:
    match = re.search(rb"^([0-9a-f]+) \S " + symbol.encode() + rb"$", kallsyms, re.MULTILINE)
    return int(match[1], 16) if match is not None else 0


def patch_cast_calls(address: int, size: int, cast_id: int) -> int:
    """Patch calls of ``PLACEHOLDER_HELPER`` in place to calls of the kfunc ``cast_id``.

    Args:
        address: of the program's instructions in this process.
        size: of the instructions, bytes.
        cast_id: BTF id of bpf_rdonly_cast().

    Returns:
        The number of patched calls.

    Raises:
        OSError: the instructions cannot be made writable.
    """
    _make_writable(address, size)
    code = (ctypes.c_ubyte * size).from_address(address)
    patched = 0
    for at in range(0, size, _INSTRUCTION.size):
        opcode, registers, offset, number = _INSTRUCTION.unpack_from(code, at)
        if (opcode, registers, number) == (_CALL, 0, PLACEHOLDER_HELPER):
            _INSTRUCTION.pack_into(code, at, _CALL, _PSEUDO_KFUNC_CALL, offset, cast_id)
            patched += 1
    return patched


def _make_writable(address: int, size: int) -> None:
    start = address & ~(mmap.PAGESIZE - 1)
    length = address + size - start
    libc = ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True)
    if libc.mprotect(
        ctypes.c_void_p(start), ctypes.c_size_t(length), mmap.PROT_READ | mmap.PROT_WRITE
    ):
        raise OSError(ctypes.get_errno(), "mprotect")
