"""The distribution's ``bcc`` module. The only module that imports it."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from arenatrace.errors import UnsupportedError


def import_bcc() -> Any:
    """Return the module; raises UnsupportedError that names the package to install."""
    hint = (
        "install your distribution's package (Debian and Ubuntu: apt install python3-bpfcc; "
        "Fedora: dnf install python3-bcc)"
    )
    try:
        with _distribution_packages():
            import bcc
    except (ImportError, OSError) as exc:  # OSError: its libbcc.so is missing
        version = ".".join(map(str, sys.version_info[:2]))
        raise UnsupportedError(
            f"the Python module bcc cannot be imported by Python {version}: {exc}", hint
        ) from exc
    if not hasattr(bcc, "BPF"):
        raise UnsupportedError(
            "the Python module bcc that is installed is not the BPF Compiler Collection "
            "(PyPI has an unrelated package of that name)",
            "pip uninstall bcc, then " + hint,
        )
    return bcc


@contextlib.contextmanager
def _distribution_packages() -> Iterator[None]:
    """Append the distribution's package directories to sys.path while a module is imported.

    A virtual environment does not have them, and must not have them for other imports.
    """
    version = ".".join(map(str, sys.version_info[:2]))
    places = [
        "/usr/lib/python3/dist-packages",  # Debian and its children
        f"/usr/lib/python{version}/site-packages",  # Fedora, Arch, openSUSE
    ]
    added = [place for place in places if place not in sys.path]
    sys.path += added
    try:
        yield
    finally:
        for place in added:
            sys.path.remove(place)


def require_headers(release: str) -> None:
    """Raise UnsupportedError unless BCC can find headers for kernel ``release``."""
    if os.environ.get("BCC_KERNEL_SOURCE") or Path("/sys/kernel/kheaders.tar.xz").exists():
        return
    build = Path("/lib/modules") / release / "build"
    if not build.is_dir():
        raise UnsupportedError(
            f"the headers of the running kernel are missing: {build} does not exist",
            f"Debian and Ubuntu: apt install linux-headers-{release}; other kernels: "
            "CONFIG_IKHEADERS=m and modprobe kheaders",
        )


@contextlib.contextmanager
def captured_stderr() -> Iterator[list[str]]:
    """Collect the lines that native code (clang, libbpf) writes to file descriptor 2."""
    lines: list[str] = []
    sys.stderr.flush()
    with tempfile.TemporaryFile() as sink:
        saved = os.dup(2)
        try:
            os.dup2(sink.fileno(), 2)
            try:
                yield lines
            finally:
                os.dup2(saved, 2)
        finally:
            os.close(saved)
        sink.seek(0)
        lines += sink.read().decode("utf-8", "replace").splitlines()
