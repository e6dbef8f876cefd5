"""Privileges for tracing, checked before anything is compiled."""

from __future__ import annotations

import os
from pathlib import Path

from arenatrace.errors import UnsupportedError

#: Capability name to bit (include/uapi/linux/capability.h).
_CAP_BITS = {"CAP_SYS_ADMIN": 21, "CAP_PERFMON": 38, "CAP_BPF": 39}

_STATUS = Path("/proc/self/status")
_LOCKDOWN = Path("/sys/kernel/security/lockdown")


def missing_capabilities(status: str) -> list[str]:
    """Return the capabilities for tracing that ``status`` (/proc/self/status) lacks.

    CAP_SYS_ADMIN alone suffices; otherwise CAP_BPF and CAP_PERFMON are needed together.
    """
    effective = 0
    for line in status.splitlines():
        if line.startswith("CapEff:"):
            effective = int(line.split()[1], 16)
    effective_names = {name for name, bit in _CAP_BITS.items() if effective >> bit & 1}
    if "CAP_SYS_ADMIN" in effective_names:
        return []
    return [name for name in ("CAP_BPF", "CAP_PERFMON") if name not in effective_names]


def lockdown_mode(text: str) -> str:
    """Return the word in brackets of /sys/kernel/security/lockdown."""
    start, end = text.find("["), text.find("]")
    return text[start + 1 : end] if 0 <= start < end else "none"


def lockdown() -> str | None:
    """Return the mode of the lockdown LSM; None without it or without securityfs."""
    try:
        return lockdown_mode(_LOCKDOWN.read_text())
    except OSError:
        return None


def require() -> None:
    """Raise UnsupportedError if this process cannot load tracing programs."""
    missing = missing_capabilities(_STATUS.read_text())
    if missing:
        who = "root" if os.geteuid() == 0 else "this user"
        raise UnsupportedError(
            f"recording needs more privileges: {who} lacks {' and '.join(missing)}",
            "run it as root, for example: sudo arenatrace record",
        )
    if lockdown() == "confidentiality":
        raise UnsupportedError(
            "kernel lockdown is in confidentiality mode: BPF programs may not read kernel memory",
            "boot with lockdown=integrity or without lockdown; recorded traces can be read here",
        )
