"""Fixtures of the lab: each boots a guest once, or gives the reason why there is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.scheduling import boot_of
from tests.vm.boots import BootFixture, CommandsRun, KernelRun, boot_commands, boot_kernel
from tests.vm.lab.images.cache import Cache, cache_root
from tests.vm.lab.images.image import image_is_ready
from tests.vm.lab.images.kernel_choice import TESTED
from tests.vm.lab.lab import CHECKOUT, Lab
from tests.vm.lab.requirements import ENVIRONMENT, Mode, mode, unmet
from tests.vm.lab.skipping import skip_or_fail
from tests.vm.recordings import MODES, Recording, record_modes

#: Seconds for a test and the boot it waits for; each boot has a limit of its own.
_TIMEOUT = 2400

_LAB = pytest.StashKey[Lab]()
_FIGURES = "figures"
_WORKER_OUTPUT = "arenatrace_lab"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark every test that boots; pytest-xdist workers start with the longest boots."""
    for item in items:
        if _boot_of(item) is not None:
            item.add_marker(pytest.mark.vm)
            item.add_marker(pytest.mark.timeout(_TIMEOUT))
    if hasattr(config, "workerinput"):
        order = [*BootFixture, None]
        items.sort(key=lambda item: (order.index(_boot_of(item)), _group(item)))


def _group(item: pytest.Item) -> str:
    """Return what the test shares with others; tests without a guest keep their order."""
    return "" if _boot_of(item) is None else boot_of(item.nodeid)


def _boot_of(item: pytest.Item) -> BootFixture | None:
    """Return the fixture that boots the guest of a test; None without a guest."""
    names = getattr(item, "fixturenames", ())
    return next((fixture for fixture in BootFixture if fixture in names), None)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the figures of the tests, the boots, and which guests were booted again."""
    for report in terminalreporter.getreports("passed"):
        for name, text in report.user_properties:
            if name == _FIGURES:
                terminalreporter.write_line(text)
    used = list(_finished_workers)
    if _LAB in config.stash:
        used.append(_usage(config.stash[_LAB]))
    if boots := sum(one["boots"] for one in used):
        minutes, cpu = (sum(one[name] for one in used) / 60 for name in ("seconds", "cpu_seconds"))
        terminalreporter.write_line(
            f"lab: {boots} boots, {minutes:.1f} minutes of guests, {cpu:.1f} minutes of CPU"
        )
    for one in used:
        for reason in one["lost"]:
            terminalreporter.write_line(f"lab: booted again, {reason}")


_finished_workers: list[dict[str, Any]] = []


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Collect the usage of the lab in a pytest-xdist worker."""
    if (usage := getattr(node, "workeroutput", {}).get(_WORKER_OUTPUT)) is not None:
        _finished_workers.append(usage)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand the usage of the lab to the process that prints the summary."""
    if hasattr(session.config, "workeroutput") and _LAB in session.config.stash:
        session.config.workeroutput[_WORKER_OUTPUT] = _usage(session.config.stash[_LAB])


def _usage(lab: Lab) -> dict[str, Any]:
    usage = lab.usage
    return {
        "boots": usage.boots,
        "seconds": usage.seconds,
        "cpu_seconds": usage.cpu_seconds,
        "lost": lab.lost_guests,
    }


@pytest.fixture
def figures(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Print a text in pytest's summary, also from a pytest-xdist worker."""
    return lambda text: record_property(_FIGURES, text)


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Lab:
    """A lab with this checkout's project in it; the first use may build the guest."""
    if mode() is Mode.OFF:
        pytest.skip(f"{ENVIRONMENT}=off")
    cache = Cache(cache_root())
    missing = unmet(cache.root, image_ready=image_is_ready(cache, CHECKOUT))
    if missing:
        skip_or_fail(f"no lab: {'; '.join(missing)}")
    pytestconfig.stash[_LAB] = Lab(tmp_path_factory.mktemp("lab"), cache=cache)
    return pytestconfig.stash[_LAB]


@pytest.fixture(scope="session")
def recordings(lab: Lab) -> dict[str, Recording]:
    """All modes of the workload, recorded in one boot."""
    return record_modes(lab, MODES)


@pytest.fixture(scope="session")
def commands(lab: Lab) -> CommandsRun:
    """Refusals, capture features and the terminal interface, in one boot."""
    return boot_commands(lab)


@pytest.fixture(scope="session", params=TESTED)
def kernel_run(request: pytest.FixtureRequest, lab: Lab) -> KernelRun:
    """Everything that is tested on each kernel, in one boot of it."""
    return boot_kernel(lab, request.param)
