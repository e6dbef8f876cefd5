"""Count the boots of a lab, their wall time and the CPU time of QEMU."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class Usage:
    """Totals over the guests of one process.

    Attributes:
        boots: guests started.
        seconds: wall time of all guests; guests of other processes run at the same time.
        cpu_seconds: user and system time of QEMU.
    """

    boots: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    @contextmanager
    def boot(self) -> Iterator[None]:
        """Count one guest, also if it is lost."""
        began, used = time.monotonic(), _cpu_of_children()
        try:
            yield
        finally:
            self.boots += 1
            self.seconds += time.monotonic() - began
            self.cpu_seconds += _cpu_of_children() - used


def _cpu_of_children() -> float:
    """Return the CPU seconds of all child processes that were waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
