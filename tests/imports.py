"""Read the imports of a Python file without running it."""

from __future__ import annotations

import ast
from pathlib import Path

_OWN = ("arenatrace", "bench", "tests")


def first_party_imports(path: Path) -> set[str]:
    """Return the modules of this project that a file imports, by their dotted names.

    ``from package import name`` counts as the package, or as the module if ``name`` is one.
    """
    root = Path(__file__).resolve().parents[1]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
            folder = root / node.module.replace(".", "/")
            names = {alias.name for alias in node.names}
            found |= {
                f"{node.module}.{name}" for name in names if (folder / f"{name}.py").is_file()
            }
    return {module for module in found if module.partition(".")[0] in _OWN}
