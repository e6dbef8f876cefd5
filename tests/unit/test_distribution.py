"""The source distribution holds what its own tests use."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile

import pytest

from tests.imports import first_party_imports
from tests.paths import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("sdist")]

#: First path component below the root, as tests write it.
_BELOW_ROOT = re.compile(r"\b_?(?:ROOT|CHECKOUT) / \"([^\"/]+)")


@pytest.fixture(scope="module")
def sdist_files(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Paths in the source distribution, relative to its top directory."""
    directory = tmp_path_factory.mktemp("sdist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(directory)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (archive,) = directory.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        return {name.partition("/")[2] for name in tar.getnames()}


def test_sdist_holds_every_source_file(sdist_files: set[str]) -> None:
    wanted = {
        str(path.relative_to(ROOT))
        for top in ("arenatrace", "bench", "docs", "probes", "sample_traces", "tests")
        for path in (ROOT / top).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert wanted - sdist_files == set()


def test_sdist_holds_every_module_that_tests_import(sdist_files: set[str]) -> None:
    modules = {
        module
        for path in (ROOT / "tests").rglob("*.py")
        for module in first_party_imports(path)
        if module.partition(".")[0] in ("arenatrace", "bench", "tests")
    }
    missing = {
        module
        for module in modules
        if not {f"{module.replace('.', '/')}{end}" for end in (".py", "/__init__.py")} & sdist_files
    }
    assert len(modules) > 100
    assert missing == set()


def test_sdist_holds_every_directory_that_tests_name(sdist_files: set[str]) -> None:
    names = {
        name
        for path in (ROOT / "tests").rglob("*.py")
        for name in _BELOW_ROOT.findall(path.read_text(encoding="utf-8"))
    }
    tops = {name.partition("/")[0] for name in sdist_files}
    assert "sample_traces" in names
    assert names - tops == set()


def test_sdist_holds_what_make_needs(sdist_files: set[str]) -> None:
    needed = {"Makefile", "README.md", "constraints.txt", "pyproject.toml", "LICENSE"}
    assert needed - sdist_files == set()
    assert "tests/host/install-venv.sh" in sdist_files
