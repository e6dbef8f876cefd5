"""Settings of the whole suite: signals and the number of random examples."""

from __future__ import annotations

import signal

from hypothesis import settings

from tests.runs import DEFAULT, runs

#: A shell without job control starts its background jobs with SIGINT and SIGQUIT ignored.
_SIGNALS = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)


def pytest_configure() -> None:
    """Reset ignored signals and choose the number of random examples.

    Child processes inherit ignored signals: tests that end one with SIGINT would wait forever.
    """
    for number in _SIGNALS:
        if signal.getsignal(number) is signal.SIG_IGN:
            default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, default)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    settings.register_profile("arenatrace", max_examples=runs(DEFAULT))
    settings.load_profile("arenatrace")
