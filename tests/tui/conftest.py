"""Traces that several tests look at."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.paths import ROOT

EVENTS = 2_000_000


@pytest.fixture(scope="session")
def big_trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two million events, ten thousand faults."""
    path = tmp_path_factory.mktemp("big") / "big.atrace"
    generator = ROOT / "bench" / "generate_trace.py"
    subprocess.run([sys.executable, generator, str(EVENTS), path], check=True)
    return path
