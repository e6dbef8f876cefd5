"""Push what was written on to the disk without ever holding up the drain."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path


class Syncer:
    """A thread that makes the files being written durable every ``interval_s`` seconds.

    The recorder itself only hands its data to the kernel; a disk may take seconds over
    fdatasync(), in which the ring would overflow.
    """

    def __init__(self, directory: Path, interval_s: float, pattern: str = "*.arrows") -> None:
        self._directory = directory
        self._pattern = pattern
        self._interval_s = interval_s
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sync", daemon=True)

    def __enter__(self) -> Syncer:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._done.wait(self._interval_s):
            for path in self._directory.glob(self._pattern):
                # errors show up where the data is written; here nothing can be done
                with contextlib.suppress(OSError):
                    self._sync(path)

    @staticmethod
    def _sync(path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
