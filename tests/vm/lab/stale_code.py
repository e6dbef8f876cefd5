"""Detection of an emulator bug: QEMU executed a breakpoint that memory no longer holds."""

from __future__ import annotations

import re

_FIRST_OOPS = re.compile(
    r"Oops: (?P<trap>\w+): \w+ \[#1\].*?\bCode: (?P<code>[0-9a-f<> ]+)", re.DOTALL
)
_BREAKPOINT = "cc"


def ran_stale_breakpoint(console: str) -> bool:
    """Return whether the first oops on ``console`` is an int3 that memory does not hold.

    To patch code that other CPUs may run, the kernel writes a breakpoint first and removes it
    when every CPU has passed it (smp_text_poke_batch_finish()). QEMU's TCG with one thread per
    CPU may translate the breakpoint while it is overwritten, and keep the translation. The CPU
    then traps at an address without a breakpoint, and the kernel, which knows of none there,
    oopses. The oops proves it: in its code bytes the byte before ``<rip>``, which was executed,
    is not the breakpoint's.
    """
    oops = _FIRST_OOPS.search(console)
    if oops is None or oops["trap"] != "int3":
        return False
    executed, _, after = oops["code"].rpartition("<")
    return bool(after) and executed.split()[-1:] not in ([], [_BREAKPOINT])
