"""What several tests of recordings start from."""

from __future__ import annotations

import pytest

from tests.unit.capture.fake_probes import FakeProbes


@pytest.fixture
def probes() -> FakeProbes:
    """Return fake probes."""
    return FakeProbes()
