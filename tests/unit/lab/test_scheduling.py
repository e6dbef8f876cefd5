"""Tests that share a boot are in one scope of the scheduler."""

from __future__ import annotations

import pytest

from tests.paths import ROOT
from tests.scheduling import _SHARED, scope_of


def test_tests_of_one_kernel_share_a_scope() -> None:
    features = scope_of("tests/vm/test_kernel_features.py::test_x[7.2]")
    assert features == scope_of("tests/vm/test_random_ops.py::test_y[7.2]")
    assert features != scope_of("tests/vm/test_random_ops.py::test_y[7.3]")


@pytest.mark.parametrize(
    ("one", "other"),
    [("test_record", "test_causes"), ("test_tui", "test_refusals"), ("test_storm", "test_storm")],
)
def test_files_of_one_boot_share_a_scope(one: str, other: str) -> None:
    assert scope_of(f"tests/vm/{one}.py::test_x[a]") == scope_of(f"tests/vm/{other}.py::test_y")


def test_other_tests_are_scopes_of_their_own() -> None:
    assert scope_of("tests/unit/test_a.py::test_x") != scope_of("tests/unit/test_a.py::test_y")


def test_every_named_file_exists() -> None:
    assert [path for path in _SHARED if not (ROOT / path).is_file()] == []


def test_every_test_file_of_the_lab_has_a_scope_or_boots_for_each_test() -> None:
    files = {str(path.relative_to(ROOT)) for path in (ROOT / "tests" / "vm").glob("test_*.py")}
    assert files - set(_SHARED) == {"tests/vm/test_lab.py"}
