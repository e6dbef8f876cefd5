"""Extract the ELF kernel from a bzImage (Documentation/arch/x86/boot.rst).

Modules that register kfuncs need BTF of their own, made against a vmlinux that
Debian does not package apart from its debug symbols.
"""

from __future__ import annotations

import struct
from pathlib import Path

SETUP_SECTS = 0x1F1
MAGIC = (0x202, b"HdrS")
PAYLOAD = 0x248  # payload_offset, payload_length
SECTOR = 512  # bytes
ZSTD = b"\x28\xb5\x2f\xfd"


class NotABzImage(ValueError):  # noqa: N818 - it is the name of the finding
    """The file is not a bzImage with a zstd-compressed kernel."""


def zstd_payload(image: bytes) -> bytes:
    """Return the zstd frame that holds the kernel.

    Raises:
        NotABzImage: no boot header, or a payload that is not zstd.
    """
    offset, magic = MAGIC
    if image[offset : offset + len(magic)] != magic:
        raise NotABzImage("no x86 boot header (HdrS)")
    # 0 stands for 4 in the oldest boot protocol.
    setup_sectors = image[SETUP_SECTS] or 4
    payload_offset, payload_length = struct.unpack_from("<II", image, PAYLOAD)
    start = (setup_sectors + 1) * SECTOR + payload_offset
    # The build appends the unpacked size, four bytes that are not part of the frame.
    payload = image[start : start + payload_length - 4]
    if not payload.startswith(ZSTD):
        raise NotABzImage(f"the payload starts with {payload[:4].hex()}, not with zstd's magic")
    return payload


def installed_release(root: Path) -> str:
    """Return the release of the newest kernel in `root` that has its headers there.

    Raises:
        FileNotFoundError: no kernel has its headers.
    """
    releases = [path.name.removeprefix("vmlinuz-") for path in (root / "boot").glob("vmlinuz-*")]
    usable = [name for name in releases if (root / f"usr/src/linux-headers-{name}").is_dir()]
    if not usable:
        raise FileNotFoundError(f"no kernel with matching headers among: {releases or 'none'}")
    return max(usable, key=release_version)


def release_version(release: str) -> tuple[int, ...]:
    """Return the numbers of a release, (7, 2, 13) for 7.2.13+deb14-cloud-amd64."""
    number = release.partition("-")[0].partition("+")[0]
    return tuple(int(part) for part in number.split(".") if part.isdigit())
