"""What the lab needs of the host, and whether tests may do without it."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
from enum import StrEnum
from pathlib import Path

from tests.vm.lab.images.mirror import ENVIRONMENT as MIRROR
from tests.vm.lab.images.mirror import find_mirror

ENVIRONMENT = "ARENATRACE_VM"
GIB = 1 << 30
SPACE_TO_BUILD = 7 * GIB  # root file system, its downloads, Python packages, image
SPACE_TO_RUN = 1 * GIB  # job disk and the guest's writes to its root

# Program: the Debian package that holds it.
TO_RUN = {
    "qemu-system-x86_64": "qemu-system-x86",
    "mke2fs": "e2fsprogs",
    "debugfs": "e2fsprogs",
    "setpriv": "util-linux",
}
TO_BUILD = {"debootstrap": "debootstrap", "unshare": "util-linux", "chroot": "coreutils"}


class Mode(StrEnum):
    """How tests treat a host that cannot run the lab."""

    REQUIRE = "require"
    AUTO = "auto"
    OFF = "off"


def mode() -> Mode:
    """Returns the mode that ARENATRACE_VM asks for, `auto` if it is not set.

    Raises:
        ValueError: it is set to something else.
    """
    asked = os.environ.get(ENVIRONMENT) or Mode.AUTO
    try:
        return Mode(asked)
    except ValueError:
        raise ValueError(f"{ENVIRONMENT}={asked}: must be require, auto or off") from None


def unmet(cache: Path, *, image_ready: bool) -> list[str]:
    """Returns one line for each thing that is missing here; empty if the lab can run.

    Args:
        cache: the cache directory, which need not exist yet.
        image_ready: the guest is already built, so that what only building needs
            is not asked for.
    """
    return [
        *_wrong_machine(),
        *_missing_programs(TO_RUN if image_ready else TO_RUN | TO_BUILD),
        *_missing_python(),
        *([] if image_ready else _missing_mirror()),
        *_missing_space(cache, SPACE_TO_RUN if image_ready else SPACE_TO_BUILD),
    ]


def _wrong_machine() -> list[str]:
    found = []
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        found.append(f"not an x86_64 Linux host but {sys.platform} on {platform.machine()}")
    elif os.geteuid() != 0:
        found.append("not root")
    return found


def _missing_programs(wanted: dict[str, str]) -> list[str]:
    return [
        f"{program} missing (Debian package {package})"
        for program, package in wanted.items()
        if shutil.which(program) is None
    ]


def _missing_python() -> list[str]:
    if importlib.util.find_spec("hatchling") is None:
        return [f"hatchling missing (Python package, wanted by {sys.executable})"]
    return []


def _missing_mirror() -> list[str]:
    return [] if find_mirror() else [f"no Debian mirror in apt's configuration: set {MIRROR}"]


def _missing_space(cache: Path, wanted: int) -> list[str]:
    place = next(path for path in (cache, *cache.parents) if path.exists())
    free = shutil.disk_usage(place).free
    if free >= wanted:
        return []
    return [f"no disk space: {free / GIB:.1f} GiB free at {place}, {wanted // GIB} GiB needed"]
