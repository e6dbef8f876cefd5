"""Scheduler for pytest-xdist: tests that share something costly run in the same worker.

The groups of pytest-xdist's own ``--dist loadgroup`` do not work with pytest 9.2, which no longer
has the attribute ``Node._nodeid`` that they set.
"""

from __future__ import annotations

from typing import Any

from xdist.scheduler import LoadScopeScheduling

_KERNEL = "kernel"
#: Test file to the boot, or the big trace, that its tests share.
_SHARED = {
    "tests/vm/test_record.py": "recordings",
    "tests/vm/test_causes.py": "recordings",
    "tests/vm/test_refusals.py": "commands",
    "tests/vm/test_capture_features.py": "commands",
    "tests/vm/test_tui.py": "commands",
    "tests/vm/test_kernel_features.py": _KERNEL,
    "tests/vm/test_random_ops.py": _KERNEL,
    "tests/vm/test_storm.py": "storms",
    "tests/vm/test_crash.py": "crashes",
    "tests/vm/test_cases.py": "cases",
    "tests/unit/test_distribution.py": "sdist",
    "tests/tui/test_four_keystrokes.py": "big trace",
}


def scope_of(nodeid: str) -> str:
    """Return the scope of a test: all tests of one scope run in the same worker.

    The lab is one scope: its guests have time limits and boot one at a time, while the other
    worker runs the tests without a guest.
    """
    return "lab" if nodeid.startswith("tests/vm/") else boot_of(nodeid)


def boot_of(nodeid: str) -> str:
    """Return what a test shares with others: the boot of a guest, or a big trace."""
    shared = _SHARED.get(nodeid.partition("::")[0], nodeid)
    if shared == _KERNEL:
        return f"{_KERNEL} {nodeid.partition('[')[2]}"
    return shared


class SharedScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Distribute tests by ``scope_of``, in the order of collection."""

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)


def make_scheduler(config: Any, log: Any) -> SharedScheduling:
    """Return the scheduler; the hook ``pytest_xdist_make_scheduler`` calls it."""
    return SharedScheduling(config, log)
