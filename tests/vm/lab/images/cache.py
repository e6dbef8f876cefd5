"""Cache of built layers, outside the checkout.

A layer is a directory `KIND-KEY`; the key is a hash of all its inputs. It is built under a
temporary name and renamed when done, so a directory with a layer's name is always complete.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

UNFINISHED = "unfinished-"
# Number of layers that stay, by kind, most recently used first. A layer takes up to gigabytes.
LIMITS = {"built": 32, "site": 8, "image": 6, "kernel": 6}
DEFAULT_LIMIT = 3


def cache_root() -> Path:
    """Return the cache directory (ARENATRACE_VM_CACHE, else below the XDG cache home)."""
    if chosen := os.environ.get("ARENATRACE_VM_CACHE"):
        return Path(chosen).absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "arenatrace-vm"


def key_of(*parts: str | bytes) -> str:
    """Return the key for a layer made of these parts, in this order (16 hex digits)."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        # The length keeps ("ab", "c") and ("a", "bc") apart.
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()[:16]


def tree_parts(root: Path) -> Iterator[str | bytes]:
    """Yield name, mode and content of every file below `root`, in order, for `key_of`."""
    for path in sorted(root.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield str(path.relative_to(root))
            yield "x" if path.stat().st_mode & 0o100 else "-"
            yield path.read_bytes()


class Cache:
    """The layers below one directory."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def log(self) -> Path:
        """The file that collects the output of build commands."""
        return self.root / "build.log"

    def path(self, kind: str, key: str) -> Path:
        """Return the directory of a layer, whether or not it exists."""
        return self.root / f"{kind}-{key}"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def layer(self, kind: str, key: str, build: Callable[[Path], None]) -> Path:
        """Return the layer's directory; build it if it does not exist.

        Args:
            kind: first part of the name.
            key: hash of the inputs.
            build: fills an empty directory; called once, with the cache locked.

        Raises:
            BuildError: from `build`; the partial layer is removed.
        """
        done = self.path(kind, key)
        if not done.is_dir():
            with self._locked():
                if not done.is_dir():  # no other process built it meanwhile
                    self._build(done, build)
                    self._evict_old(kind, keep=done)
        self.mark_used(done)
        return done

    def mark_used(self, layer: Path) -> None:
        """Mark a layer as the most recently used of its kind."""
        os.utime(layer)

    def _build(self, done: Path, build: Callable[[Path], None]) -> None:
        # Under the lock a temporary name belongs to an interrupted build.
        for leftover in self.root.glob(f"{UNFINISHED}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        fresh = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=self.root))
        try:
            fresh.chmod(0o755)
            build(fresh)
            fresh.rename(done)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)

    def _evict_old(self, kind: str, *, keep: Path) -> None:
        layers = sorted(self.root.glob(f"{kind}-*"), key=lambda path: path.stat().st_mtime)
        for old in layers[: -LIMITS.get(kind, DEFAULT_LIMIT)]:
            if old != keep:
                self._discard(old)

    def _discard(self, layer: Path) -> None:
        # Renamed first: an interrupted removal must not leave half a layer.
        gone = self.root / f"{UNFINISHED}old-{layer.name}"
        layer.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)

    def discard_all(self) -> None:
        """Remove every layer."""
        with self._locked():
            for kind in ("base", "kernel", "python", "image", "site", "built"):
                for layer in self.root.glob(f"{kind}-*"):
                    self._discard(layer)
