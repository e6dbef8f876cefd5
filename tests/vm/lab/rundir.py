"""Directory of one run, removed later if the run was killed."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.vm.lab.images.cache import Cache


@contextmanager
def run_directory(cache: Cache) -> Iterator[Path]:
    """Yield a directory and remove it afterwards; also remove directories of killed runs."""
    runs = cache.root / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    # Creation and sweeping share a lock: a new directory is locked before a sweep can see it.
    with (runs / "lock").open("w") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        _sweep(runs)
        directory = Path(tempfile.mkdtemp(prefix="run-", dir=runs))
        own_lock = (directory / "lock").open("w")
        fcntl.flock(own_lock, fcntl.LOCK_EX)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        own_lock.close()


def _sweep(runs: Path) -> None:
    for directory in runs.glob("run-*"):
        try:
            with (directory / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(directory, ignore_errors=True)
        except OSError:  # in use, or removed meanwhile
            continue
