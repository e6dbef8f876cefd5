"""Tests that share a boot are in one scope of the scheduler."""

from __future__ import annotations

import pytest

from tests.paths import ROOT
from tests.scheduling import _SHARED, boot_of, scope_of


def test_tests_of_one_kernel_share_a_boot() -> None:
    features = boot_of("tests/vm/test_kernel_features.py::test_x[7.2]")
    assert features == boot_of("tests/vm/test_random_ops.py::test_y[7.2]")
    assert features != boot_of("tests/vm/test_random_ops.py::test_y[7.3]")


def test_guests_boot_in_one_worker() -> None:
    assert scope_of("tests/vm/test_storm.py::test_x") == scope_of("tests/vm/test_lab.py::test_y")
    assert scope_of("tests/vm/test_storm.py::test_x") != scope_of("tests/unit/test_a.py::test_y")


@pytest.mark.parametrize(
    ("one", "other"),
    [("test_record", "test_causes"), ("test_tui", "test_refusals"), ("test_storm", "test_storm")],
)
def test_files_of_one_boot_are_grouped(one: str, other: str) -> None:
    assert boot_of(f"tests/vm/{one}.py::test_x[a]") == boot_of(f"tests/vm/{other}.py::test_y")


def test_other_tests_are_scopes_of_their_own() -> None:
    assert scope_of("tests/unit/test_a.py::test_x") != scope_of("tests/unit/test_a.py::test_y")


def test_every_named_file_exists() -> None:
    assert [path for path in _SHARED if not (ROOT / path).is_file()] == []


def test_every_test_file_of_the_lab_has_a_scope_or_boots_for_each_test() -> None:
    files = {str(path.relative_to(ROOT)) for path in (ROOT / "tests" / "vm").glob("test_*.py")}
    assert files - set(_SHARED) == {"tests/vm/test_lab.py"}
