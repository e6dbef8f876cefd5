"""Requirements of the lab on the host, and the mode for hosts that lack one."""

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
    """Return the mode in ARENATRACE_VM; `auto` if it is not set.

    Raises:
        ValueError: the variable has another value.
    """
    asked = os.environ.get(ENVIRONMENT) or Mode.AUTO
    try:
        return Mode(asked)
    except ValueError:
        raise ValueError(f"{ENVIRONMENT}={asked}: must be require, auto or off") from None


def unmet(cache: Path, *, image_ready: bool) -> list[str]:
    """Return one line for each unmet requirement; empty if the lab can run.

    Args:
        cache: the cache directory, which need not exist yet.
        image_ready: the guest is built, so the requirements of building do not apply.
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
    existing = next(path for path in (cache, *cache.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if free >= wanted:
        return []
    return [f"no disk space: {free / GIB:.1f} GiB free at {existing}, {wanted // GIB} GiB needed"]
