"""The layout of the source tree: small folders, short files, no circles of imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.paths import ROOT

_FOLDERS = ("arenatrace", "tests", "bench", "docs", "probes")
_MOST_FILES = 16
_MOST_LINES = 350


def _python_files() -> list[Path]:
    """Return every Python file of the repository."""
    return sorted(file for folder in _FOLDERS for file in (ROOT / folder).rglob("*.py"))


def _modules() -> dict[str, Path]:
    """Return the modules of arenatrace by dotted name; a package is its ``__init__``."""
    modules = {}
    for file in (ROOT / "arenatrace").rglob("*.py"):
        parts = file.relative_to(ROOT).with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return modules


def _imported_names(tree: ast.AST) -> Iterator[str]:
    """Yield the dotted name of each import, including imports in functions and for types."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import: use the absolute name"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _import_graph(modules: dict[str, Path]) -> dict[str, set[str]]:
    """Return the modules of arenatrace that each module imports."""
    graph: dict[str, set[str]] = {}
    for module, file in modules.items():
        graph[module] = set()
        for name in _imported_names(ast.parse(file.read_text())):
            target = name if name in modules else name.rpartition(".")[0]
            if target in modules:
                graph[module].add(target)
    return graph


def _circle(graph: dict[str, set[str]]) -> list[str]:
    """Return the modules of one circle of imports, the first one repeated; [] without any."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_folders_have_at_most_16_python_files() -> None:
    counts: dict[str, int] = {}
    for file in _python_files():
        folder = str(file.parent.relative_to(ROOT))
        counts[folder] = counts.get(folder, 0) + 1
    assert set(counts) >= {"arenatrace", "arenatrace/model/kernel", "tests/unit", "bench"}
    assert {folder: count for folder, count in counts.items() if count > _MOST_FILES} == {}


def test_python_files_have_at_most_350_lines() -> None:
    lines = {
        str(file.relative_to(ROOT)): len(file.read_text().splitlines()) for file in _python_files()
    }
    assert {file: count for file, count in lines.items() if count > _MOST_LINES} == {}


def test_imports_have_no_circles() -> None:
    graph = _import_graph(_modules())
    assert "arenatrace.model.replay.state" in graph["arenatrace.model.replay.checker"]
    assert _circle(graph) == []


@pytest.mark.parametrize(
    "text",
    [
        "from a import b",
        "from a.b import name",
        "import a.b",
        "if TYPE_CHECKING:\n    from a.b import c",
        "def late():\n    import a.b",
    ],
)
def test_circle_is_found_for_each_form_of_import(tmp_path: Path, text: str) -> None:
    (tmp_path / "b.py").write_text("import a.c\n")
    (tmp_path / "c.py").write_text(text)
    graph = _import_graph({"a.b": tmp_path / "b.py", "a.c": tmp_path / "c.py"})
    assert graph == {"a.b": {"a.c"}, "a.c": {"a.b"}}
    assert set(_circle(graph)) == {"a.b", "a.c"}


@pytest.mark.parametrize(
    "package",
    sorted((ROOT / "arenatrace").rglob("__init__.py")),
    ids=lambda file: str(file.parent.relative_to(ROOT)),
)
def test_package_has_a_docstring(package: Path) -> None:
    assert ast.get_docstring(ast.parse(package.read_text()))


def test_folder_with_modules_is_a_package() -> None:
    folders = {file.parent for file in (ROOT / "arenatrace").rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []
