"""Contents of the source distribution and of the wheel."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.imports import first_party_imports
from tests.paths import ROOT

pytestmark = pytest.mark.slow

#: First path component below the root, as tests write it.
_BELOW_ROOT = re.compile(r"\b_?(?:ROOT|CHECKOUT) / \"([^\"/]+)")


@pytest.fixture(scope="module")
def sdist_files(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Paths in the source distribution, relative to its top directory."""
    with tarfile.open(_build("sdist", tmp_path_factory.mktemp("sdist"))) as tar:
        return {name.partition("/")[2] for name in tar.getnames()}


def _build(target: str, directory: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(directory)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (archive,) = directory.iterdir()
    return archive


def test_sdist_and_wheel_have_the_marker_of_typed_packages(
    sdist_files: set[str], tmp_path: Path
) -> None:
    """PEP 561: type checkers ignore the annotations of a package without py.typed."""
    assert "arenatrace/py.typed" in sdist_files
    with zipfile.ZipFile(_build("wheel", tmp_path)) as wheel:
        assert "arenatrace/py.typed" in wheel.namelist()


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
