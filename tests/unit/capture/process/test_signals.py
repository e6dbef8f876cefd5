"""Signals while recording."""

from __future__ import annotations

import signal

from arenatrace.capture.process.signals import StopSignals


def test_signal_handlers_are_restored() -> None:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    # a shell starts its background jobs with SIGINT ignored
    found = [signal.signal(number, signal.SIG_DFL) for number in numbers]
    try:
        with StopSignals() as stops:
            for number in numbers:
                signal.raise_signal(number)
        assert (stops.heard, stops.by_interrupt) == (3, True)
        assert [signal.getsignal(number) for number in numbers] == [signal.SIG_DFL] * 3
    finally:
        for number, handler in zip(numbers, found, strict=True):
            signal.signal(number, handler)


def test_ignored_signal_stays_ignored() -> None:
    """Nohup relies on it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopSignals() as stops:
            signal.raise_signal(signal.SIGHUP)
        assert stops.heard == 0
    finally:
        signal.signal(signal.SIGHUP, before)
