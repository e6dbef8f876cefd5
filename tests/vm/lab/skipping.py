"""What a test does on a host that cannot run it: skip, or fail if the lab is required."""

from __future__ import annotations

from typing import NoReturn

import pytest

from tests.vm.lab.errors import KernelUnavailable
from tests.vm.lab.lab import Lab
from tests.vm.lab.requirements import Mode, mode


def skip_or_fail(reason: str) -> NoReturn:
    """Skips the test that is being set up, or fails it under ARENATRACE_VM=require."""
    if mode() is Mode.REQUIRE:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def need_kernel(lab: Lab, kernel: str) -> None:
    """Makes a kernel ready to boot, or skips the test with the exact reason there is none."""
    try:
        lab.image_of(kernel)
    except KernelUnavailable as problem:
        skip_or_fail(str(problem))
