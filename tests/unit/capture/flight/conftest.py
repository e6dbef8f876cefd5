"""Fixtures of the tests in this directory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.unit.capture.flight.flight import Flight


@pytest.fixture
def flight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Flight:
    for wait in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, wait, lambda _descriptor: None)
    return Flight(tmp_path / "flight", monkeypatch)
