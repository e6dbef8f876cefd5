"""perf and bpftrace for the lab's guest, from its distribution's packages."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.vm.lab.images.cache import Cache, key_of
from tests.vm.lab.images.kernel_layer import GuestApt
from tests.vm.lab.images.rootfs import base_key, base_layer

PACKAGES = ("linux-perf", "bpftrace")
#: Dependencies of their Perl scripts.
UNWANTED = ("perl", "libperl", "ucf", "libgdbm", "libtext", "sensible")
RECIPE = "1"


def guest_tools(cache: Cache) -> Path:
    """Return a directory ``tools`` to copy over the guest's root; download it if needed."""
    base = base_layer(cache)
    layer = cache.layer(
        "tools",
        key_of(base_key(), RECIPE, *PACKAGES),
        lambda fresh: _build(fresh, base, cache.log),
    )
    return layer / "tools"


def _build(fresh: Path, base: Path, log: Path) -> None:
    apt = GuestApt(fresh, base, log)
    apt.run("apt-get", "update")
    apt.run("apt-get", "--yes", "--download-only", "install", *PACKAGES)
    for package in sorted((fresh / "apt/cache/archives").glob("*.deb")):
        if not package.name.startswith(UNWANTED):
            subprocess.run(["dpkg-deb", "-x", package, fresh / "tools"], check=True)
    shutil.rmtree(fresh / "apt")
