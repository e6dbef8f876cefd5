"""Run the recorder ahead of what it records."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def ahead_of_others() -> Iterator[None]:
    """Give this thread the lowest real-time priority for a while, where that is allowed.

    A box that needs recording has busy CPUs, or a scheduler under test that may forget an
    ordinary task: the recorder must not wait for either while its rings fill up. It sleeps
    most of the time, and what it starts (the recorded command, threads) is ordinary again.
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
