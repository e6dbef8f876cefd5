"""Detection of the emulator's stale breakpoint, without a virtual machine."""

from __future__ import annotations

import pytest

from tests.vm.lab.stale_code import ran_stale_breakpoint

# Console of an emulated guest, shortened. Memory holds the call (e8) of a trampoline.
DIED = """\
[   70.714990] Oops: int3: 0000 [#1] SMP NOPTI
[   70.715232] CPU: 1 UID: 0 PID: 166 Comm: storm Not tainted 7.2.13+deb14-cloud-amd64 #1
[   70.715349] RIP: 0010:arena_free_pages+0x1/0x460
[   70.715399] Code: 90 90 90 90 90 90 e8 <fb> f6 73 3b 48 83 c4 80 81 e6 00 f0 ff ff 45 31 c9 48 89
[   70.715415] RSP: 0018:ff7db0ec0063f950 EFLAGS: 00000206
"""


def test_int3_without_breakpoint_in_memory_is_the_emulators() -> None:
    assert ran_stale_breakpoint(DIED)
    assert ran_stale_breakpoint(f"[    1.000000] Linux version\n{DIED}{DIED.replace('#1', '#2')}")


@pytest.mark.parametrize(
    "console",
    [
        pytest.param("", id="empty console"),
        pytest.param(DIED.replace("e8 <fb>", "cc <fb>"), id="breakpoint in memory"),
        pytest.param(DIED.replace("int3", "general protection fault, maybe"), id="another trap"),
        pytest.param(DIED.replace("Oops: int3: 0000", "Oops: Oops: 0002"), id="a page fault"),
        pytest.param(DIED.replace("<fb>", "fb"), id="no mark at rip"),
        pytest.param(DIED.replace("90 90 90 90 90 90 e8 <fb>", "<fb>"), id="no byte before rip"),
        pytest.param(DIED.replace("Code:", "Data:"), id="no code bytes"),
        pytest.param(
            f"{DIED.replace('int3', 'Oops')}{DIED.replace('#1', '#2')}", id="not the first oops"
        ),
    ],
)
def test_other_oopses_are_the_kernels(console: str) -> None:
    assert not ran_stale_breakpoint(console)
