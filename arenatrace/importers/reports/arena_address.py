"""Arena address of an oops, derived from the registers on x86-64."""

from __future__ import annotations

from collections.abc import Mapping

from arenatrace.importers.reports.records import ArenaAddress
from arenatrace.schema import BAND_SZ, GUARD_SZ, PAGE_SIZE

#: The register with kern_vm_start in JITed code (``arch/x86/net/bpf_jit_comp.c``). It is
#: callee-saved, so most kernel functions that a program calls do not change it.
_BASE = "R12"

_LOW32 = BAND_SZ - 1
_USER_END = 1 << 47


def arena_address(kaddr: int, registers: Mapping[str, int]) -> ArenaAddress | None:
    """Return kern_vm_start and the user address, None if the registers do not prove them.

    The base register alone proves nothing: a callee may use it for another value. Two conditions
    must hold. The address is in the arena band above the base, and another register holds a
    pointer into the same page of the user range: the lower 32 bits of a user address are the
    offset from kern_vm_start. The user address is known only if that pointer has its upper 32
    bits.
    """
    base = registers.get(_BASE)
    if base is None or base < 1 << 63 or base % PAGE_SIZE:
        return None
    offset = kaddr - base
    # Offset 0 is excluded: there the base itself would be the second pointer.
    if not PAGE_SIZE <= offset < BAND_SZ + GUARD_SZ // 2:
        return None
    pointers = [
        value
        for name, value in registers.items()
        if name != _BASE
        and value < _USER_END
        and (value & _LOW32) // PAGE_SIZE == (offset & _LOW32) // PAGE_SIZE
    ]
    if not pointers:
        return None
    upper = {value & ~_LOW32 for value in pointers if value > _LOW32}
    return ArenaAddress(base, upper.pop() + offset if len(upper) == 1 else None)
