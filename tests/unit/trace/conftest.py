"""Fixtures of the tests in this directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.trace.corrupting import builder


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return builder().write(tmp_path_factory.mktemp("sealed") / "t.atrace")
