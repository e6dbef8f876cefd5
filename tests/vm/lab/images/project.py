"""The project as the guest gets it: its wheel, unpacked, rebuilt only when a source changed."""

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

# What hatchling reads for the wheel (see pyproject.toml).
RECIPE = "compiled"
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "arenatrace", "probes")


def project_site(cache: Cache, checkout: Path, base: Path) -> Path:
    """Returns a directory that holds the installed project, for a Python path.

    The sources are copied before they are hashed and built, so that an edit made
    meanwhile cannot end up in a layer with the wrong key.

    Raises:
        BuildError: hatchling refused; the message shows its last lines.
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
    # Byte code by the guest's own Python: emulated, each boot would take seconds to compile it.
    # The job disk gives every file a new time, so the byte code must not depend on it.
    compileall = ["python3", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    run_private(in_root(base, [*compileall, "/job"], writable=site, place="/job"), log)


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
        said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-3:])
        raise BuildError(f"hatchling could not build the project's wheel:\n{said}")
    (wheel,) = dist.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
