"""The image layer: a bootable disk and the kernel that goes with it."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from .cache import Cache, key_of, tree_parts
from .kernel_image import installed_release
from .namespace import run_private
from .python_env import python_key, python_layer
from .rootfs import base_key, base_layer

HERE = Path(__file__).parent
GUEST = HERE / "guest"
MAKE_IMAGE = HERE / "host" / "make-image.sh"
SIZE = "4G"  # sparse: takes the room of what is in it
LABEL = "arenatrace-lab"


@dataclass(frozen=True)
class Image:
    """A built guest."""

    disk: Path
    kernel: Path
    release: str

    @classmethod
    def at(cls, layer: Path) -> Image:
        """Returns the image that lies in a layer's directory."""
        release = (layer / "release").read_text().strip()
        return cls(disk=layer / "root.img", kernel=layer / "vmlinuz", release=release)


def image_key(checkout: Path) -> str:
    """Returns the key of the image for this checkout."""
    return key_of(python_key(checkout), MAKE_IMAGE.read_bytes(), SIZE, *tree_parts(GUEST))


def image_is_ready(cache: Cache, checkout: Path) -> bool:
    """Tells whether the image for this checkout is already built."""
    return cache.path("image", image_key(checkout)).is_dir()


def ensure_image(cache: Cache, checkout: Path) -> Image:
    """Returns the guest for this checkout, building whichever layers are missing.

    Raises:
        BuildError: a layer could not be built.
    """
    key = image_key(checkout)
    layer = cache.path("image", key)
    if layer.is_dir():
        cache.mark_used(layer)
        return Image.at(layer)
    _say(cache, "base", base_key(), "Debian root file system, about two minutes")
    base = base_layer(cache)
    _say(cache, "python", python_key(checkout), "Python packages, about half a minute")
    venv = python_layer(cache, checkout, base)
    _say(cache, "image", key, "disk image, about half a minute")
    return Image.at(cache.layer("image", key, lambda fresh: _build(fresh, base, venv, cache)))


def _say(cache: Cache, kind: str, key: str, what: str) -> None:
    if not cache.path(kind, key).is_dir():
        print(f"lab: building the {what}", file=sys.stderr, flush=True)


def _build(fresh: Path, base: Path, venv: Path, cache: Cache) -> None:
    guest = fresh / "guest"
    shutil.copytree(GUEST, guest, ignore=shutil.ignore_patterns("__pycache__"))
    layers = [str(base), str(venv), str(guest)]
    run_private([str(MAKE_IMAGE), *layers, str(fresh / "root.img"), SIZE, LABEL], cache.log)
    shutil.rmtree(guest)
    release = installed_release(base)
    shutil.copyfile(base / f"boot/vmlinuz-{release}", fresh / "vmlinuz")
    (fresh / "release").write_text(f"{release}\n")
