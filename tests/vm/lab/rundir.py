"""A directory for one run of the guest, removed even if the run was killed."""

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
    """Gives a directory that is removed afterwards, and removes those of killed runs."""
    runs = cache.root / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    # One lock for making and sweeping: a directory is never seen before its own lock is held.
    with (runs / "lock").open("w") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        _sweep(runs)
        directory = Path(tempfile.mkdtemp(prefix="run-", dir=runs))
        held = (directory / "lock").open("w")
        fcntl.flock(held, fcntl.LOCK_EX)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        held.close()


def _sweep(runs: Path) -> None:
    for directory in runs.glob("run-*"):
        try:
            with (directory / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(directory, ignore_errors=True)
        except OSError:  # still locked, so in use, or just gone
            continue
