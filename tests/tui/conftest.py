"""Traces shared by several tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.generate_trace import generate

EVENTS = 2_000_000


@pytest.fixture(scope="session")
def big_trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a trace of two million events and ten thousand faults."""
    path = tmp_path_factory.mktemp("big") / "big.atrace"
    generate(EVENTS, path)
    return path
