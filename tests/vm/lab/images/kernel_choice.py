"""Choose a packaged kernel for a version prefix such as "7.3" or "6.12"."""

from __future__ import annotations

from collections.abc import Iterable

from tests.vm.lab.images.kernel_image import release_version

IMAGE = "linux-image-"
HEADERS = "linux-headers-"
FLAVOUR = "-cloud-amd64"
#: Version prefixes of the kernels that the toolkit is tested on.
TESTED = ("6.12", "7.2", "7.3")


def matches(release: str, wanted: str) -> bool:
    """Return whether a release is `wanted` or its version begins with it.

    "7.3" means 7.3-rc7 and 7.3.4 but not 7.30; "" means any release.
    """
    rest = release.removeprefix(wanted)
    if rest == release and wanted:
        return False
    return not (wanted[-1:].isdigit() and rest[:1].isdigit())


def candidates(packages: Iterable[str], wanted: str) -> list[str]:
    """Return the releases that `wanted` may mean, the newest first.

    Args:
        packages: names of all available packages.
        wanted: beginning of a kernel version.

    Returns:
        Those releases of the cloud flavour that have both an image and headers.
    """
    names = set(packages)
    releases = {name.removeprefix(IMAGE) for name in names if name.startswith(IMAGE)}
    usable = [
        release
        for release in releases
        if release.endswith(FLAVOUR)
        and release[:1].isdigit()
        and HEADERS + release in names
        and matches(release, wanted)
    ]
    return sorted(usable, key=lambda release: (release_version(release), release), reverse=True)
