"""The project in the guest: its wheel, unpacked and compiled, rebuilt when a source changes."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from tests.vm.lab.errors import BuildError
from tests.vm.lab.images.cache import Cache, key_of, tree_parts
from tests.vm.lab.images.namespace import DIE_WITH_PARENT, in_root, run_private

# Change it when the same sources give another layer.
RECIPE = "compiled"
# Inputs of the wheel (see pyproject.toml).
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "arenatrace", "probes")


def project_site(cache: Cache, checkout: Path, base: Path) -> Path:
    """Return a directory with the installed project, for PYTHONPATH.

    The sources are copied before they are hashed, so that an edit during the build cannot get
    into a layer with the wrong key.

    Raises:
        BuildError: hatchling failed; the message has its last lines.
    """
    with tempfile.TemporaryDirectory(prefix="arenatrace-wheel-") as scratch:
        sources = Path(scratch) / "sources"
        _copy_sources(checkout, sources)
        key = key_of(base.name, RECIPE, *tree_parts(sources))
        return cache.layer("site", key, lambda fresh: _build(sources, fresh, base, cache.log))


def _copy_sources(checkout: Path, target: Path) -> None:
    target.mkdir()
    ignore = shutil.ignore_patterns("__pycache__")
    for name in SOURCES:
        path = checkout / name
        if path.is_dir():
            shutil.copytree(path, target / name, ignore=ignore)
        elif path.is_file():
            shutil.copyfile(path, target / name)


def _build(sources: Path, site: Path, base: Path, log: Path) -> None:
    _build_wheel(sources, site)
    # Compiled with the guest's Python: emulated, each boot would spend seconds on it. The job disk
    # changes modification times, so the byte code must not depend on them.
    compileall = ["python3", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    run_private(in_root(base, [*compileall, "/job"], writable=site, mount_at="/job"), log)


def _build_wheel(sources: Path, site: Path) -> None:
    dist = sources.parent / "dist"
    done = subprocess.run(
        [
            *DIE_WITH_PARENT,
            *(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(dist)),
        ],
        cwd=sources,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        output = "\n".join((done.stderr or done.stdout).strip().splitlines()[-3:])
        raise BuildError(f"hatchling could not build the project's wheel:\n{output}")
    (wheel,) = dist.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
