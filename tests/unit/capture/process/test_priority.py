"""The recorder's priority: only its own, only for a while, and never a reason to fail."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from arenatrace.capture.process.priority import raise_priority

_ASK = "import os; print(os.sched_getscheduler(0))"


def test_priority_is_not_inherited_and_is_restored() -> None:
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    threads: list[int] = []
    with raise_priority():
        inside = os.sched_getscheduler(0)
        child = subprocess.run([sys.executable, "-c", _ASK], capture_output=True, check=True)
        thread = threading.Thread(target=lambda: threads.append(os.sched_getscheduler(0)))
        thread.start()
        thread.join()
    # where it is not allowed, nothing changes
    assert inside in (os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.SCHED_RR, before[0])
    assert int(child.stdout) == before[0]
    assert threads == [before[0]]
    assert (os.sched_getscheduler(0), os.sched_getparam(0)) == before


def test_recording_continues_when_priority_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_given: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    with raise_priority():
        assert os.sched_getscheduler(0) == os.SCHED_OTHER
