"""Compile for the guest with the guest's tools, natively on the host.

An emulated compiler is about twenty times slower than the same program in a chroot.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.vm.lab.errors import BuildError
from tests.vm.lab.images.cache import Cache, key_of, tree_parts
from tests.vm.lab.images.kernel_layer import KernelTree
from tests.vm.lab.images.namespace import in_root, run_private
from tests.vm.lab.images.rootfs import base_key, base_layer


def prepare(
    cache: Cache, source: Path, cmd: str, release: str, tree: KernelTree | None = None
) -> Path:
    """Return a copy of `source` in which `cmd` was run; cached until either changes.

    The command sees the copy as /job and writable, the rest of the guest's root
    read-only, and the guest's kernel release in $LAB_KERNEL (uname -r is the host's).

    Args:
        cache: the built layers.
        source: directory; the command runs in a copy.
        cmd: bash command line.
        release: the guest's kernel.
        tree: files of that kernel, if it is not the root file system's own.

    Raises:
        BuildError: `source` is no directory, or the command failed.
    """
    if not source.is_dir():
        raise BuildError(f"nothing to prepare: {source} is not a directory")
    name = source.resolve().name
    base = base_layer(cache)

    def build(fresh: Path) -> None:
        copy = fresh / name
        shutil.copytree(source, copy, symlinks=True)
        script = 'cd /job && export LAB_KERNEL="$1" && eval "$2"'
        argv = ["bash", "-c", script, "prepare", release, cmd]
        over = tree.root if tree else None
        run_private(in_root(base, argv, over=over, writable=copy, mount_at="/job"), cache.log)

    key = key_of(base_key(), release, name, cmd, *tree_parts(source))
    return cache.layer("built", key, build) / name
