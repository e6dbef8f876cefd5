"""``make test-quick`` covers every package: its tests call a module of each, or a caller of one."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.imports import first_party_imports
from tests.paths import ROOT


def _is_slow(marks: list[ast.expr]) -> bool:
    return any("pytest.mark.slow" in ast.unparse(mark) for mark in marks)


def _has_quick_test(path: Path) -> bool:
    """Return whether a file has a test without the marker ``slow``."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        names = node.targets if isinstance(node, ast.Assign) else []
        if any(ast.unparse(name) == "pytestmark" for name in names):
            assert isinstance(node, ast.Assign)
            if _is_slow([node.value]):
                return False
    return any(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not _is_slow(node.decorator_list)
        for node in tree.body
    )


def _packages(modules: set[str]) -> set[str]:
    """Return the packages that hold the modules."""
    return {
        module if (ROOT / module.replace(".", "/")).is_dir() else module.rpartition(".")[0]
        for module in modules
    }


def test_quick_tests_import_every_package() -> None:
    files = {path for path in (ROOT / "arenatrace").rglob("*.py") if path.name != "__init__.py"}
    packages = {".".join(path.relative_to(ROOT).parts[:-1]) for path in files}
    folders = (ROOT / "tests" / "unit", ROOT / "tests" / "tui")
    tests = [path for folder in folders for path in folder.rglob("test_*.py")]
    quick = [path for path in tests if _has_quick_test(path)]
    imported = {module for path in quick for module in first_party_imports(path)}
    callees = {
        module
        for caller in imported
        if (path := ROOT / f"{caller.replace('.', '/')}.py").is_file()
        for module in first_party_imports(path)
    }
    assert len(quick) > 80
    assert packages - _packages(imported | callees) == set()
