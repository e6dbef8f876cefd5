"""Sizes of the two ring buffers, and whether the machine has the memory."""

from __future__ import annotations

import mmap
import re
from dataclasses import dataclass
from pathlib import Path

from arenatrace.errors import UnsupportedError, UsageError

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_SIZE = re.compile(r"([0-9]{1,20}) ?(?:([KMG])(?:i?B)?|B)?", re.IGNORECASE | re.ASCII)

#: max_entries has 32 bits, and a ring is a power of two of bytes (ringbuf_map_alloc()).
MAX_BYTES = 1 << 31


def parse_bytes(text: str, option: str) -> int:
    """Return the bytes in ``text``, such as ``8M``. Raises UsageError that names ``option``.

    K, M and G are powers of 1024.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise UsageError(
            f"{option}: {text!r} is not a size", "write bytes, or a number with K, M or G: 8M"
        )
    return int(match[1]) * _UNITS[(match[2] or "").upper()]


def parse_size(text: str, option: str) -> int:
    """Return the bytes of a ring in ``text``. Raises UsageError that names ``option``.

    A ring is a power of two of bytes and whole pages.
    """
    size = parse_bytes(text, option)
    if size > MAX_BYTES:
        raise UsageError(
            f"{option}: {text} is more than a ring can have", f"at most {show_size(MAX_BYTES)}"
        )
    if size < mmap.PAGESIZE:
        raise UsageError(
            f"{option}: {text} is less than a page", f"at least {show_size(mmap.PAGESIZE)}"
        )
    if size & (size - 1):
        below = 1 << (size.bit_length() - 1)
        raise UsageError(
            f"{option}: {text} is not a power of two, which a ring must be",
            f"use {show_size(below)} or {show_size(min(2 * below, MAX_BYTES))}",
        )
    return size


def show_size(size: int) -> str:
    """Return ``size`` in bytes in the form that ``parse_size`` reads."""
    for unit in "GMK":
        if size >= _UNITS[unit] and size % _UNITS[unit] == 0:
            return f"{size // _UNITS[unit]}{unit}"
    return str(size)


@dataclass(frozen=True)
class RingSizes:
    """Bytes of the ring of events, and of the ring of notes: stacks, programs, symbols."""

    events: int = 64 << 20
    notes: int = 16 << 20

    def __str__(self) -> str:
        return f"events {show_size(self.events)}, notes {show_size(self.notes)}"

    def require_memory(self, root: Path = Path("/")) -> None:
        """Raise UnsupportedError if the rings do not fit into the available memory.

        The kernel would refuse too, but only after it has reclaimed everything it can. ``root`` is
        where /proc and /sys are.
        """
        wanted = self.events + self.notes
        for left, of_what in _memory_left(root):
            if wanted > left:
                raise UnsupportedError(
                    f"the ring buffers ({self}) do not fit into {of_what}, which has "
                    f"{left >> 20} MiB left",
                    "choose smaller ones with --ring-size and --notes-ring-size",
                )


DEFAULT_RINGS = RingSizes()


def refused_by_kernel(sizes: RingSizes, why: str) -> UnsupportedError:
    """Return the error for a ring buffer that the kernel refused for the reason ``why``."""
    return UnsupportedError(
        f"the kernel refused the ring buffers ({sizes}): {why}",
        "choose smaller ones with --ring-size and --notes-ring-size, or raise the limit of the "
        "cgroup (memory.max) or of locked memory (ulimit -l)",
    )


def _memory_left(root: Path) -> list[tuple[int, str]]:
    """Yield the available bytes of the machine and of each cgroup limit above this process."""
    limits = [
        (int(line.split()[1]) << 10, "this machine's memory")
        for line in _read(root / "proc/meminfo").splitlines()
        if line.startswith("MemAvailable:")
    ]
    own = [line[4:] for line in _read(root / "proc/self/cgroup").splitlines() if line[:3] == "0::"]
    for name in own:
        top = root / "sys/fs/cgroup"
        group = top / name.strip("/")
        while group != top and top in group.parents:
            most, now = _read(group / "memory.max").strip(), _read(group / "memory.current").strip()
            if most.isdigit() and now.isdigit():
                left = int(most) - int(now) + _cached(group)
                limits.append((max(0, left), f"the limit of cgroup /{group.relative_to(top)}"))
            group = group.parent
    return limits


def _cached(group: Path) -> int:
    """Return the bytes of a cgroup that the kernel reclaims on demand."""
    words = [line.split() for line in _read(group / "memory.stat").splitlines()]
    return sum(int(count) for name, count in words if name in ("active_file", "inactive_file"))


def _read(path: Path) -> str:
    """Return the text of a file; empty if it does not exist, which means no limit."""
    try:
        return path.read_text()
    except OSError:
        return ""
