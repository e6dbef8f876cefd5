"""The Python layer: /opt/venv with the project's runtime and test dependencies."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from tests.vm.lab.images.cache import Cache, key_of
from tests.vm.lab.images.namespace import in_root, run_private
from tests.vm.lab.images.rootfs import base_key

MAKE_VENV = Path(__file__).parent / "host" / "make-venv.sh"
# The guest gets only the development tools that run tests.
TEST_TOOLS = frozenset({"hypothesis", "pytest", "pytest-timeout"})


def requirements(pyproject: Path) -> list[str]:
    """Return the requirement specifiers of the project, its extras and its test tools."""
    data = tomllib.loads(pyproject.read_text())
    project = data["project"]
    wanted = set(project.get("dependencies", []))
    for extra in project.get("optional-dependencies", {}).values():
        wanted.update(extra)
    for entry in data.get("dependency-groups", {}).get("dev", []):
        if isinstance(entry, str) and _name(entry) in TEST_TOOLS:
            wanted.add(entry)
    return sorted(item for item in wanted if _name(item) != project["name"])


def _name(requirement: str) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    return match.group().lower() if match else requirement


def _constraints(checkout: Path) -> bytes:
    path = checkout / "constraints.txt"
    return path.read_bytes() if path.is_file() else b""


def python_key(checkout: Path) -> str:
    """Return the key of the Python layer for this checkout."""
    return key_of(
        base_key(),
        MAKE_VENV.read_bytes(),
        _constraints(checkout),
        *requirements(checkout / "pyproject.toml"),
    )


def python_layer(cache: Cache, checkout: Path, base: Path) -> Path:
    """Return the directory of /opt/venv; build it if needed (half a minute).

    Raises:
        BuildError: pip failed; the message shows why.
    """

    def build(fresh: Path) -> None:
        (fresh / "constraints.txt").write_bytes(_constraints(checkout))
        wanted = requirements(checkout / "pyproject.toml")
        with MAKE_VENV.open("rb") as script:
            # Through stdin, as the script is not part of the guest.
            command = ["sh", "-s", "--", *wanted]
            run_private(
                in_root(base, command, writable=fresh, mount_at="/opt/venv"),
                cache.log,
                stdin=script,
            )

    return cache.layer("python", python_key(checkout), build)
