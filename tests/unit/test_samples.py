"""Bundled traces match their manifest."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from tests.vm.make.samples import SAMPLES, digest
from tests.vm.recordings import arenatrace

pytestmark = pytest.mark.slow

_MANIFEST: dict[str, Any] = tomllib.loads((SAMPLES / "MANIFEST.toml").read_text())


@pytest.fixture(params=sorted(_MANIFEST))
def sample(request: pytest.FixtureRequest) -> tuple[Path, dict[str, Any]]:
    """Return a bundled trace and its section of the manifest."""
    return SAMPLES / f"{request.param}.atrace", _MANIFEST[request.param]


def test_manifest_lists_every_trace() -> None:
    assert {path.stem for path in SAMPLES.glob("*.atrace")} == set(_MANIFEST)
    assert len(_MANIFEST) >= 3


def test_checksums_match_the_manifest(sample: tuple[Path, dict[str, Any]]) -> None:
    trace, entry = sample
    assert digest(trace) == entry["sha256"]


def test_summary_matches_the_manifest(sample: tuple[Path, dict[str, Any]]) -> None:
    trace, entry = sample
    summary = json.loads(arenatrace("summary", trace, "--json"))
    facts = dict(entry["facts"])
    by_program, _by_line = facts.pop("by_program"), facts.pop("by_line")
    assert summary["trace"]["kernel"] == entry["kernel"]
    assert summary["trace"]["sealed"]
    assert facts.pop("faults") == sum(program["faults"] for program in summary["programs"])
    assert {name: summary["totals"][name] for name in facts} == facts
    assert by_program == {
        program["name"]: program["faults"] for program in summary["programs"] if program["faults"]
    }


def test_source_lines_match_the_manifest(sample: tuple[Path, dict[str, Any]]) -> None:
    trace, entry = sample
    rows = [json.loads(line) for line in arenatrace("faults", trace, "--json").splitlines()]
    lines = Counter(
        f"{PurePosixPath(row['source']['file']).name}:{row['source']['line']}" for row in rows
    )
    assert lines == Counter(entry["facts"]["by_line"])
    assert all(row["attribution"] == "agreed" for row in rows)
    assert [row["fault"] for row in rows] == list(range(1, len(rows) + 1))
