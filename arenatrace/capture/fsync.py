"""Sync files to the disk without delaying the drain."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path


class FsyncThread:
    """A thread that calls fdatasync() on the open files every ``interval_s`` seconds.

    The recorder itself only hands data to the kernel: fdatasync() may take seconds, in which the
    ring would overflow.
    """

    def __init__(self, directory: Path, interval_s: float, pattern: str = "*.arrows") -> None:
        self._directory = directory
        self._pattern = pattern
        self._interval_s = interval_s
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sync", daemon=True)

    def __enter__(self) -> FsyncThread:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._done.wait(self._interval_s):
            for path in self._directory.glob(self._pattern):
                # errors are reported where the data is written
                with contextlib.suppress(OSError):
                    self._sync(path)

    @staticmethod
    def _sync(path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
