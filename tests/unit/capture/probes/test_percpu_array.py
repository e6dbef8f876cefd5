"""A per-CPU array map, read with one system call."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest

from arenatrace.capture.probes import percpu_array
from arenatrace.capture.probes.percpu_array import PerCpuArray, possible_cpus


def test_read_returns_values_by_entry_and_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, int]] = []

    def look_up(map_fd: int, entries: int, _keys: int, values: int) -> None:
        calls.append((map_fd, entries))
        numbers = np.arange(6, dtype=np.uint64) + len(calls)
        ctypes.memmove(values, numbers.ctypes.data, numbers.nbytes)

    monkeypatch.setattr(percpu_array, "possible_cpus", lambda: 3)
    monkeypatch.setattr(percpu_array, "lookup_batch", look_up)
    array = PerCpuArray(7, 2, "<u8")
    assert array.read().tolist() == [[1, 2, 3], [4, 5, 6]]
    assert array.read().tolist() == [[2, 3, 4], [5, 6, 7]]
    assert calls == [(7, 2)] * 2


@pytest.mark.parametrize(("listed", "count"), [("0\n", 1), ("0-63\n", 64), ("0,2-3\n", 3)])
def test_possible_cpus(tmp_path: Path, listed: str, count: int) -> None:
    path = tmp_path / "possible"
    path.write_text(listed)
    assert possible_cpus(path) == count


def test_possible_cpus_refuses_text_that_is_no_list(tmp_path: Path) -> None:
    path = tmp_path / "possible"
    path.write_text("all of them\n")
    with pytest.raises(ValueError, match="no list of CPUs"):
        possible_cpus(path)
