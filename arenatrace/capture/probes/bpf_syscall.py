"""bpf(2) commands that BCC's Python API lacks.

Numbers and structures follow include/uapi/linux/bpf.h, which only grows.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from dataclasses import dataclass
from functools import cache
from typing import Any

from arenatrace.errors import UnsupportedError

_SYSCALL_NUMBER = {"x86_64": 321, "aarch64": 280}

_OBJ_GET_INFO_BY_FD = 15
_MAP_FREEZE = 22
_MAP_LOOKUP_BATCH = 24
_LINK_CREATE = 28
_ITER_CREATE = 33

#: enum bpf_attach_type
_BPF_TRACE_ITER = 28

_ATTR_BYTES = 128
#: struct bpf_prog_info up to and including recursion_misses
_PROG_INFO_BYTES = 216


@dataclass(frozen=True)
class ProgInfo:
    """Members of struct bpf_prog_info."""

    id: int
    recursion_misses: int


def _bpf(command: int, attr: bytes) -> int:
    buffer = ctypes.create_string_buffer(attr.ljust(_ATTR_BYTES, b"\0"), _ATTR_BYTES)
    result: int = _libc().syscall(_syscall_number(), command, buffer, _ATTR_BYTES)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


@cache
def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


@cache
def _syscall_number() -> int:
    number = _SYSCALL_NUMBER.get(platform.machine())
    if number is None:
        raise UnsupportedError(
            f"live capture does not know the bpf(2) system call on {platform.machine()}",
            "record on x86_64 or aarch64; traces can be read on any machine",
        )
    return number


def freeze_map(fd: int) -> None:
    """Make a map permanently read-only for user space (BPF_MAP_FREEZE). Raises OSError."""
    _bpf(_MAP_FREEZE, struct.pack("<I", fd))


def run_iterator(prog_fd: int) -> None:
    """Run a BPF iterator program once over all its objects. Raises OSError.

    The programs here write to a ring, not to the iterator's file.
    """
    link_fd = _bpf(_LINK_CREATE, struct.pack("<IIII", prog_fd, 0, _BPF_TRACE_ITER, 0))
    try:
        iter_fd = _bpf(_ITER_CREATE, struct.pack("<II", link_fd, 0))
        try:
            # an empty read is the end; the kernel may pause (EAGAIN) on long lists
            while True:
                try:
                    if not os.read(iter_fd, 4096):
                        break
                except BlockingIOError:
                    continue
        finally:
            os.close(iter_fd)
    finally:
        os.close(link_fd)


def prog_info(fd: int) -> ProgInfo:
    """Return id and recursion misses of a loaded program (BPF_OBJ_GET_INFO_BY_FD)."""
    info = ctypes.create_string_buffer(_PROG_INFO_BYTES)
    _bpf(
        _OBJ_GET_INFO_BY_FD,
        struct.pack("<IIQ", fd, _PROG_INFO_BYTES, ctypes.addressof(info)),
    )
    (prog_id,) = struct.unpack_from("<I", info, 4)
    (misses,) = struct.unpack_from("<Q", info, 208)
    return ProgInfo(prog_id, misses)


def lookup_batch(map_fd: int, entries: int, keys: int, values: int) -> None:
    """Read all entries of an array map into memory (BPF_MAP_LOOKUP_BATCH). Raises OSError.

    Args:
        map_fd: file descriptor of the map.
        entries: number of entries.
        keys: address of 4 bytes per entry.
        values: address of one value per entry, or one per entry and possible CPU.
    """
    position = ctypes.c_uint32()
    out = ctypes.addressof(position)
    _bpf(_MAP_LOOKUP_BATCH, struct.pack("<QQQQII", 0, out, keys, values, entries, map_fd))
