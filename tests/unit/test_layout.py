"""The layout of the source tree: folders and files of bounded size, no circle of imports."""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.paths import ROOT

FILES_IN_A_FOLDER = 16
LINES_IN_A_FILE = 350
PARTS = ("arenatrace", "tests", "bench", "docs", "probes")

SOURCES = sorted(path for part in PARTS for path in (ROOT / part).rglob("*.py"))
PACKAGES = sorted(path.parent for path in (ROOT / "arenatrace").rglob("__init__.py"))


def test_folders_have_few_python_files() -> None:
    counts = Counter(path.parent.relative_to(ROOT) for path in SOURCES)
    assert {str(folder): n for folder, n in counts.items() if n > FILES_IN_A_FOLDER} == {}


def test_python_files_are_short() -> None:
    lengths = {str(path.relative_to(ROOT)): path.read_text().count("\n") for path in SOURCES}
    assert {path: n for path, n in lengths.items() if n > LINES_IN_A_FILE} == {}


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_packages_say_what_lives_there(package: Path) -> None:
    assert ast.get_docstring(ast.parse((package / "__init__.py").read_text()))


def test_imports_have_no_circle() -> None:
    """Also those inside functions and those for types only."""
    modules = {_module(path): path for path in SOURCES if path.is_relative_to(ROOT / "arenatrace")}
    graph: dict[str, set[str]] = defaultdict(set)
    for module, path in modules.items():
        graph[module] = set(_imported(path, modules)) - {module}
    assert len(graph) > 200
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as exc:
        pytest.fail(f"circle of imports: {' -> '.join(exc.args[1])}")


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported(path: Path, modules: dict[str, Path]) -> Iterator[str]:
    """Modules of this project that a file imports; a package only if a name of it is taken."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom) and node.module in modules:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in modules else node.module
