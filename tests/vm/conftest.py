"""The `lab` fixture: a guest to run commands in, or an honest reason why there is none."""

from __future__ import annotations

import pytest

from tests.vm.lab.images.cache import Cache, cache_root
from tests.vm.lab.images.image import image_is_ready
from tests.vm.lab.lab import CHECKOUT, Lab
from tests.vm.lab.requirements import ENVIRONMENT, Mode, mode, unmet
from tests.vm.lab.skipping import do_without
from tests.vm.recordings import MODES, Recording, record_modes


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks whatever uses the lab, so that `-m 'not vm'` can be relied on."""
    for item in items:
        if "lab" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.vm)


_LAB = pytest.StashKey[Lab]()


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Says which guests died and were booted again: a passed test does not show it."""
    for death in config.stash[_LAB].deaths if _LAB in config.stash else ():
        terminalreporter.write_line(f"lab: booted again, {death}")


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Lab:
    """A lab with this checkout's project in it; the first use may build the guest."""
    if mode() is Mode.OFF:
        pytest.skip(f"{ENVIRONMENT}=off")
    cache = Cache(cache_root())
    missing = unmet(cache.root, image_ready=image_is_ready(cache, CHECKOUT))
    if missing:
        do_without(f"no lab: {'; '.join(missing)}")
    pytestconfig.stash[_LAB] = Lab(tmp_path_factory.mktemp("lab"), cache=cache)
    return pytestconfig.stash[_LAB]


@pytest.fixture(scope="session")
def recordings(lab: Lab) -> dict[str, Recording]:
    """All modes of the workload, recorded in one boot."""
    return record_modes(lab, MODES)
