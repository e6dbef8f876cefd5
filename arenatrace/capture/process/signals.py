"""Deferred SIGINT, SIGTERM and SIGHUP handling."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any

_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopSignals:
    """Context manager that counts Ctrl-C, SIGTERM and SIGHUP instead of acting on them.

    A signal that was ignored before stays ignored: ``nohup`` and background jobs of a shell rely on
    that.
    """

    def __init__(self) -> None:
        self.heard = 0
        #: The first signal was a Ctrl-C, which a terminal also sends to the command.
        self.by_interrupt = False
        self._saved: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopSignals:
        for number in _NUMBERS:
            previous = signal.getsignal(number)
            if previous is not signal.SIG_IGN:
                self._saved[number] = previous
                signal.signal(number, self._hear)
        return self

    def __exit__(self, *_exc: object) -> None:
        for number, previous in self._saved.items():
            signal.signal(number, previous)

    def _hear(self, number: int, _frame: FrameType | None) -> None:
        if not self.heard:
            self.by_interrupt = number == signal.SIGINT
        self.heard += 1
