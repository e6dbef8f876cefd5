"""Where in its arena did an oops happen? What the registers tell on x86-64."""

from __future__ import annotations

from collections.abc import Mapping

from arenatrace.importers.reports.records import ArenaPlace
from arenatrace.schema import BAND_SZ, GUARD_SZ, PAGE_SIZE

#: The register in which JITed code keeps kern_vm_start (``arch/x86/net/bpf_jit_comp.c``); it
#: is saved by callees, so most kernel functions a program calls leave it as it is.
_BASE = "R12"

_LOW32 = BAND_SZ - 1
_USER_END = 1 << 47


def arena_place(kaddr: int, registers: Mapping[str, int]) -> ArenaPlace | None:
    """kern_vm_start and the user address meant, if the registers bear each other out.

    The base register alone proves nothing, a callee may use it for something else. It is
    believed if the address lies in the band above it and another register holds a pointer
    into the same page as the program sees it: the lower 32 bits of a user address are the
    offset from kern_vm_start. The user address is known if that pointer is a whole one.
    """
    base = registers.get(_BASE)
    if base is None or base < 1 << 63 or base % PAGE_SIZE:
        return None
    offset = kaddr - base
    # Not at offset 0: there the base itself would be the other pointer.
    if not PAGE_SIZE <= offset < BAND_SZ + GUARD_SZ // 2:
        return None
    seen = [
        value
        for name, value in registers.items()
        if name != _BASE
        and value < _USER_END
        and (value & _LOW32) // PAGE_SIZE == (offset & _LOW32) // PAGE_SIZE
    ]
    if not seen:
        return None
    upper = {value & ~_LOW32 for value in seen if value > _LOW32}
    return ArenaPlace(base, upper.pop() + offset if len(upper) == 1 else None)
