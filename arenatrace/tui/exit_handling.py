"""The way out of the program when something else than the user ends it."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable

#: The terminal may take so long to be left after a signal, s.
_PATIENCE_S = 10.0


class WayOut:
    """Leaves the terminal as it was at SIGTERM and SIGHUP.

    ``leave`` is called in the event loop with the exit code, 128 and the number of the signal.
    """

    def __init__(self, leave: Callable[[int], None]) -> None:
        self._leave = leave
        self._patience: threading.Timer | None = None

    def open(self) -> None:
        """Hear signals; call it in the event loop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            try:
                loop.add_signal_handler(number, self._ended_by, number)
            except (ValueError, RuntimeError):
                return  # not the main thread, as in a test that runs the app elsewhere

    def _ended_by(self, number: int) -> None:
        # A terminal that has gone can keep the last words from ever being written.
        self._patience = threading.Timer(_PATIENCE_S, os._exit, (128 + number,))
        self._patience.daemon = True
        self._patience.start()
        self._leave(128 + number)

    def ended(self) -> None:
        """The terminal is as it was: what comes now may take its time."""
        if self._patience is not None:
            self._patience.cancel()
