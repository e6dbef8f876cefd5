"""Exit on SIGTERM and SIGHUP with a restored terminal."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable

#: Grace period for restoring the terminal after a signal, s.
_GRACE_S = 10.0


class ExitHandling:
    """Restore the terminal at SIGTERM and SIGHUP.

    ``leave`` is called in the event loop with the exit code, 128 plus the signal number.
    """

    def __init__(self, leave: Callable[[int], None]) -> None:
        self._leave = leave
        self._exit_timer: threading.Timer | None = None

    def open(self) -> None:
        """Install the handlers; call it in the event loop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            try:
                loop.add_signal_handler(number, self._ended_by, number)
            except (ValueError, RuntimeError):
                return  # not the main thread, as in tests

    def _ended_by(self, number: int) -> None:
        # a terminal that is gone can block the last output forever
        self._exit_timer = threading.Timer(_GRACE_S, os._exit, (128 + number,))
        self._exit_timer.daemon = True
        self._exit_timer.start()
        self._leave(128 + number)

    def ended(self) -> None:
        """Record that the terminal is restored: no time limit applies any more."""
        if self._exit_timer is not None:
            self._exit_timer.cancel()
