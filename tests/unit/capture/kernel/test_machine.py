"""NUMA nodes as sysfs lists them."""

from __future__ import annotations

from pathlib import Path

import pytest

from arenatrace.capture.kernel import machine


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("0\n", (0,)),
        ("0-3\n", (0, 1, 2, 3)),
        ("0-1,4\n", (0, 1, 4)),
        ("\n", None),
        ("0-\n", None),
        ("x", None),
        ("-1", None),
    ],
)
def test_node_list(text: str, numbers: tuple[int, ...] | None) -> None:
    assert machine.node_list(text) == numbers


def test_nodes_of_a_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_NODES", tmp_path / "node")
    assert (machine.nr_node_ids(), machine.online_nodes()) == (1, (0,))  # without CONFIG_NUMA
    (tmp_path / "node").mkdir()
    assert (machine.nr_node_ids(), machine.online_nodes()) == (None, None)
    (tmp_path / "node" / "possible").write_text("0-7\n")
    (tmp_path / "node" / "online").write_text("0,2\n")
    assert (machine.nr_node_ids(), machine.online_nodes()) == (8, (0, 2))
