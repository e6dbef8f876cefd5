"""Settings for the whole suite: signal dispositions, xdist groups, figures and hypothesis."""

from __future__ import annotations

import signal

#: Ctrl-C, ``kill`` and a closed pipe. A shell without job control starts background jobs with
#: SIGINT ignored, Python ignores SIGPIPE, and children inherit what is ignored.
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)


def pytest_configure() -> None:
    """Reset ignored signals, so that tests which send them reach their child processes."""
    for number in _SIGNALS:
        if signal.getsignal(number) is signal.SIG_IGN:
            default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, default)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
