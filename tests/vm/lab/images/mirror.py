"""Which Debian mirror the guest is built from: the one this machine's apt uses."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

ENVIRONMENT = "ARENATRACE_VM_MIRROR"
APT = Path("/etc/apt")


def find_mirror(apt: Path = APT) -> str | None:
    """Return the mirror's URL, or None if neither the environment nor apt names one.

    Only a plain Debian archive will do: its path ends in /debian, which leaves out
    the security archive and third parties.
    """
    if chosen := os.environ.get(ENVIRONMENT):
        return chosen
    for url in _configured(apt):
        if urlsplit(url).path.rstrip("/").endswith("/debian"):
            return url
    return None


def _configured(apt: Path) -> Iterator[str]:
    """Yield the archive URLs of apt's configuration, new style (deb822) first."""
    for file in sorted(apt.glob("sources.list.d/*.sources")):
        for line in file.read_text().splitlines():
            field, _, value = line.partition(":")
            if field.strip().lower() == "uris":
                yield from value.split()
    for file in (apt / "sources.list", *sorted(apt.glob("sources.list.d/*.list"))):
        if file.is_file():
            for line in file.read_text().splitlines():
                if line.split()[:1] == ["deb"]:
                    yield from (word for word in line.split() if "://" in word)
