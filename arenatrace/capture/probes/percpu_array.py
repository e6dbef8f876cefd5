"""Read a BPF map that has a value for each CPU, all of it at once."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from arenatrace.capture.kernel.machine import node_list
from arenatrace.capture.probes.bpf_syscall import look_up_batch

_POSSIBLE = Path("/sys/devices/system/cpu/possible")

Values = npt.NDArray[Any]


class PerCpuArray:
    """A BPF_MAP_TYPE_PERCPU_ARRAY of ``entries`` values of ``dtype`` for each possible CPU.

    ``dtype`` has a multiple of 8 bytes: to that the kernel rounds a value up.
    """

    def __init__(self, map_fd: int, entries: int, dtype: npt.DTypeLike) -> None:
        self._map_fd = map_fd
        self._entries = entries
        self._values = np.zeros((entries, possible_cpus()), dtype)
        self._keys = (ctypes.c_uint32 * entries)()

    def read(self) -> Values:
        """All values by entry and CPU, good until the next call; OSError if the kernel refuses."""
        look_up_batch(
            self._map_fd, self._entries, ctypes.addressof(self._keys), self._values.ctypes.data
        )
        return self._values


def possible_cpus(listed: Path = _POSSIBLE) -> int:
    """For how many CPUs the kernel keeps values. OSError, ValueError if it does not say."""
    cpus = node_list(listed.read_text())
    if not cpus:
        raise ValueError(f"{listed}: no list of CPUs")
    return len(cpus)
