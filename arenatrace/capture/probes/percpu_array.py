"""Read a whole per-CPU array map with one system call."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from arenatrace.capture.kernel.machine import node_list
from arenatrace.capture.probes.bpf_syscall import lookup_batch

_POSSIBLE = Path("/sys/devices/system/cpu/possible")

Values = npt.NDArray[Any]


class PerCpuArray:
    """A BPF_MAP_TYPE_PERCPU_ARRAY with ``entries`` values of ``dtype`` for each possible CPU.

    The size of ``dtype`` is a multiple of 8 bytes, to which the kernel rounds values up.
    """

    def __init__(self, map_fd: int, entries: int, dtype: npt.DTypeLike) -> None:
        self._map_fd = map_fd
        self._entries = entries
        self._values = np.zeros((entries, possible_cpus()), dtype)
        self._keys = (ctypes.c_uint32 * entries)()

    def read(self) -> Values:
        """Return all values by (entry, CPU), valid until the next call. Raises OSError."""
        lookup_batch(
            self._map_fd, self._entries, ctypes.addressof(self._keys), self._values.ctypes.data
        )
        return self._values


def possible_cpus(listed: Path = _POSSIBLE) -> int:
    """Return the number of possible CPUs. Raises OSError, ValueError for an empty list."""
    cpus = node_list(listed.read_text())
    if not cpus:
        raise ValueError(f"{listed}: no list of CPUs")
    return len(cpus)
