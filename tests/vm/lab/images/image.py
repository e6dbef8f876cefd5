"""The image layer: a bootable disk and the kernel that goes with it."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.vm.lab.images.cache import Cache, key_of, tree_parts
from tests.vm.lab.images.kernel_choice import matches
from tests.vm.lab.images.kernel_image import installed_release
from tests.vm.lab.images.kernel_layer import KernelTree, kernel_key, kernel_layer
from tests.vm.lab.images.namespace import run_private
from tests.vm.lab.images.python_env import python_key, python_layer
from tests.vm.lab.images.rootfs import base_key, base_layer

HERE = Path(__file__).parent
GUEST = HERE / "guest"
MAKE_IMAGE = HERE / "host" / "make-image.sh"
SIZE = "4G"  # sparse
LABEL = "arenatrace-lab"


@dataclass(frozen=True)
class Image:
    """A built guest.

    Attributes:
        disk: its root file system.
        kernel: the bzImage.
        release: the guest's `uname -r`.
        tree: files of the kernel, if it is not the root file system's own.
    """

    disk: Path
    kernel: Path
    release: str
    tree: KernelTree | None = None

    @classmethod
    def at(cls, layer: Path, tree: KernelTree | None = None) -> Image:
        """Return the image in a layer's directory."""
        release = (layer / "release").read_text().strip()
        return cls(disk=layer / "root.img", kernel=layer / "vmlinuz", release=release, tree=tree)


def image_key(checkout: Path, tree: KernelTree | None = None) -> str:
    """Return the key of the image for this checkout, with the kernel in `tree`."""
    kernel = (tree.release,) if tree else ()
    return key_of(python_key(checkout), MAKE_IMAGE.read_bytes(), SIZE, *kernel, *tree_parts(GUEST))


def image_is_ready(cache: Cache, checkout: Path) -> bool:
    """Return whether the image with the default kernel is built for this checkout."""
    return cache.path("image", image_key(checkout)).is_dir()


def ensure_image(cache: Cache, checkout: Path, kernel: str = "") -> Image:
    """Return the guest for this checkout, building whichever layers are missing.

    Args:
        cache: the built layers.
        checkout: its Python dependencies are installed in the guest.
        kernel: prefix of the kernel's version; by default the root file system's own.

    Raises:
        KernelUnavailable: no package of that kernel is available.
        BuildError: a layer could not be built.
    """
    tree = _tree(cache, kernel) if kernel else None
    key = image_key(checkout, tree)
    layer = cache.path("image", key)
    if layer.is_dir():
        cache.mark_used(layer)
        return Image.at(layer, tree)
    base = _base(cache)
    _say(cache, "python", python_key(checkout), "Python packages, about half a minute")
    venv = python_layer(cache, checkout, base)
    _say(cache, "image", key, "disk image, about half a minute")
    cache.layer("image", key, lambda fresh: _build(fresh, base, venv, tree, cache))
    return Image.at(layer, tree)


def _base(cache: Cache) -> Path:
    _say(cache, "base", base_key(), "Debian root file system, about two minutes")
    return base_layer(cache)


def _tree(cache: Cache, kernel: str) -> KernelTree | None:
    """Return the layer with that kernel, None if the root file system has it itself."""
    if matches(installed_release(_base(cache)), kernel):
        return None
    _say(cache, "kernel", kernel_key(kernel), f"kernel {kernel}, some seconds")
    return kernel_layer(cache, kernel)


def _say(cache: Cache, kind: str, key: str, what: str) -> None:
    if not cache.path(kind, key).is_dir():
        print(f"lab: building the {what}", file=sys.stderr, flush=True)


def _build(fresh: Path, base: Path, venv: Path, tree: KernelTree | None, cache: Cache) -> None:
    guest = fresh / "guest"
    shutil.copytree(GUEST, guest, ignore=shutil.ignore_patterns("__pycache__"))
    layers = [str(base), str(tree.root) if tree else "", str(venv), str(guest)]
    run_private([str(MAKE_IMAGE), *layers, str(fresh / "root.img"), SIZE, LABEL], cache.log)
    shutil.rmtree(guest)
    release = tree.release if tree else installed_release(base)
    shutil.copyfile(tree.image if tree else base / f"boot/vmlinuz-{release}", fresh / "vmlinuz")
    (fresh / "release").write_text(f"{release}\n")
