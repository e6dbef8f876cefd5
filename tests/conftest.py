"""Settings of the whole suite: signals and the number of random examples."""

from __future__ import annotations

import signal
from collections import defaultdict

import pytest
from hypothesis import settings

from tests.runs import DEFAULT, SAMPLED, runs

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
    # no deadline: a busy machine may stop any example for long
    settings.register_profile("arenatrace", max_examples=runs(DEFAULT), deadline=None)
    settings.load_profile("arenatrace")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep one parameter set of each test, if only a sample is to run."""
    if not SAMPLED:
        return
    cases: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        cases[item.nodeid.partition("[")[0]].append(item)
    chosen = {same_test[len(same_test) // 2] for same_test in cases.values()}
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = [item for item in items if item in chosen]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Keep tests that share a boot in one worker, unless another distribution was asked for."""
    if config.getoption("dist") != "loadscope":
        return None
    from tests.scheduling import make_scheduler

    return make_scheduler(config, log)
