"""Deaths of which no kernel is guilty: the emulator ran a breakpoint that was gone already."""

from __future__ import annotations

import re

_FIRST_OOPS = re.compile(
    r"Oops: (?P<trap>\w+): \w+ \[#1\].*?\bCode: (?P<code>[0-9a-f<> ]+)", re.DOTALL
)
_BREAKPOINT = "cc"


def ran_a_gone_breakpoint(console: str) -> bool:
    """Whether the first oops on ``console`` is of an int3 that the memory does not hold.

    To patch code that other CPUs may run, the kernel first puts a breakpoint there, then sees to
    it that every CPU has passed it by before it goes away (smp_text_poke_batch_finish()). QEMU's
    emulation (TCG, one thread per CPU) may translate the breakpoint just while it is written over,
    and keep that translation. Then the CPU traps where there is nothing, and the kernel, which
    knows of no such breakpoint, dies. The oops proves it: in its bytes, the one before ``<rip>``,
    which was executed, is not the breakpoint's.
    """
    oops = _FIRST_OOPS.search(console)
    if oops is None or oops["trap"] != "int3":
        return False
    executed, _, after = oops["code"].rpartition("<")
    return bool(after) and executed.split()[-1:] not in ([], [_BREAKPOINT])
