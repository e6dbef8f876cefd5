"""Skip a test that the host cannot run, or fail it if the lab is required."""

from __future__ import annotations

from typing import NoReturn

import pytest

from tests.vm.lab.errors import KernelUnavailable
from tests.vm.lab.lab import Lab
from tests.vm.lab.requirements import Mode, mode


def skip_or_fail(reason: str) -> NoReturn:
    """Skip the current test, or fail it under ARENATRACE_VM=require."""
    if mode() is Mode.REQUIRE:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def need_kernel(lab: Lab, kernel: str) -> None:
    """Build the guest of a kernel; skip the test with the reason if no package is available."""
    try:
        lab.image_of(kernel)
    except KernelUnavailable as problem:
        skip_or_fail(str(problem))
