"""The documents name what exists, and show what the commands print."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.paths import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_PATH = re.compile(r"`((?:arenatrace|probes|tests|bench|docs|sample_traces)/[\w./-]*)`")
_LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_and_links_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    paths = {ROOT / path for path in _PATH.findall(text)}
    links = {page.parent / link for link in _LINK.findall(text)}
    assert [str(path) for path in sorted(paths | links) if not path.exists()] == []


@pytest.mark.slow
def test_case_studies_show_what_the_commands_print() -> None:
    """docs/generate_cases.py --check runs every command of docs/cases."""
    command = [sys.executable, str(ROOT / "docs" / "generate_cases.py"), "--check"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
