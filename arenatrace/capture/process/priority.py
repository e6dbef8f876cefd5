"""Raise the recorder's scheduling priority."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def raise_priority() -> Iterator[None]:
    """Give this thread the lowest real-time priority for a while, if permitted.

    The recorder must drain its rings although CPUs are busy or a scheduler under test starves
    ordinary tasks. It sleeps most of the time. Processes and threads that it starts have ordinary
    priority.
    """
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    policy = os.SCHED_RR | os.SCHED_RESET_ON_FORK
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, policy, os.sched_param(os.sched_get_priority_min(os.SCHED_RR)))
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, *before)
