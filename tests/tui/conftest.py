"""Traces that several tests look at."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.generate_trace import generate

EVENTS = 2_000_000


@pytest.fixture(scope="session")
def big_trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two million events, ten thousand faults."""
    path = tmp_path_factory.mktemp("big") / "big.atrace"
    generate(EVENTS, path)
    return path
