"""The workloads of docs/cases on a real kernel: the causes that the pages name, none when fixed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.vm.lab.lab import Lab
from tests.vm.make.cases import record_cases
from tests.vm.recordings import arenatrace


@pytest.fixture(scope="module")
def recorded(lab: Lab) -> Path:
    """One recording of all four runs, and what each printed."""
    return record_cases(lab, "together")


@pytest.fixture(scope="module")
def faults(recorded: Path) -> list[dict[str, Any]]:
    """Rows of ``arenatrace faults --json``."""
    lines = arenatrace("faults", recorded / "cases.atrace", "--json").splitlines()
    return [json.loads(line) for line in lines]


def test_every_fault_has_the_cause_of_its_page(faults: list[dict[str, Any]]) -> None:
    """1 write after close_session; 30 pushes onto 24 free pages, 2 stores each."""
    found = [(row["source"]["line"], row["cause"], row["confidence"]) for row in faults]
    assert found == [
        (54, "use-after-free", "certain"),
        *[(30, "null-page", "certain"), (31, "null-page", "certain")] * 6,
    ]


def test_fixed_programs_do_not_fault(recorded: Path) -> None:
    reports = {path.stem: path.read_text().count("ERROR: Arena") for path in recorded.glob("*.out")}
    assert reports == {"sessions": 1, "sessions-fixed": 0, "queue": 12, "queue-fixed": 0}


def test_fixed_queue_frees_what_it_pops(recorded: Path) -> None:
    summary = json.loads(arenatrace("summary", recorded / "cases.atrace", "--json"))
    counts = sorted((row["name"], row["allocs"], row["frees"]) for row in summary["arenas"])
    assert counts == [
        ("queue_arena", 64, 0),
        ("queue_arena", 70, 40),
        ("sessions_arena", 2, 2),
        ("sessions_arena", 2, 2),
    ]
