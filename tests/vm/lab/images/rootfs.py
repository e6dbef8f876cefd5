"""The base layer: a Debian sid root file system with a kernel, its headers and compilers."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.vm.lab.errors import BuildError
from tests.vm.lab.images.cache import Cache, key_of
from tests.vm.lab.images.kernel_image import NotABzImage, installed_release, zstd_payload
from tests.vm.lab.images.mirror import ENVIRONMENT, find_mirror
from tests.vm.lab.images.namespace import in_root, run_private

# Increment when an edit of this file changes the image.
RECIPE = "1"
SUITE = "sid"
PACKAGES = (
    "linux-image-cloud-amd64",
    "linux-headers-cloud-amd64",
    "python3",
    "python3-venv",
    "python3-pip",
    "python3-bpfcc",
    "bpftool",
    "kmod",
    "iproute2",
    "procps",
    "make",
    "gcc",
    "libc6-dev",
    "clang",
    "llvm",
    "libbpf-dev",
    "libelf-dev",
    "zlib1g-dev",
    "ca-certificates",
    "pahole",
    "zstd",
    "binutils",
    "sudo",
    "tmux",
)
# /lab: the guest's scripts; /job: the job disk; /opt/venv: Python packages.
MOUNT_POINTS = ("lab", "job", "opt/venv")
# Downloads and leftovers of the building machine.
DROPPED = ("var/cache/apt", "var/lib/apt/lists", "etc/hostname")

APT_CONF = Path(__file__).parent / "guest" / "apt.conf"
# The guest boots without an initrd (see machine.py), so these cannot be modules.
NEEDED_BUILT_IN = ("CONFIG_BLK_DEV_NVME", "CONFIG_EXT4_FS", "CONFIG_VIRTIO_CONSOLE")


def base_key() -> str:
    """Return the key of the base layer."""
    return key_of(RECIPE, SUITE, *PACKAGES, APT_CONF.read_bytes())


def base_layer(cache: Cache) -> Path:
    """Return the root file system's directory; build it if needed (about two minutes).

    Raises:
        BuildError: no mirror, debootstrap failed, or the kernel lacks what the lab needs.
    """
    return cache.layer("base", base_key(), lambda fresh: _build(fresh, cache.log))


def _build(root: Path, log: Path) -> None:
    mirror = find_mirror()
    if mirror is None:
        raise BuildError(f"no Debian mirror in apt's configuration: set {ENVIRONMENT}")
    include = ",".join(PACKAGES)
    run_private(
        ["debootstrap", "--variant=minbase", f"--include={include}", SUITE, str(root), mirror],
        log,
    )
    _place_vmlinux(root, log)
    for name in DROPPED:
        path = root / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    for name in MOUNT_POINTS:
        (root / name).mkdir(parents=True, exist_ok=True)
    shutil.copyfile(APT_CONF, root / "etc/apt/apt.conf.d/90lab")
    # Empty: builds mount the host's file over it.
    resolver = root / "etc/resolv.conf"
    resolver.unlink(missing_ok=True)
    resolver.touch()


def _place_vmlinux(root: Path, log: Path) -> None:
    """Put the ELF kernel where the module build reads BTF from."""
    try:
        release = installed_release(root)
    except FileNotFoundError as problem:
        raise BuildError(f"the guest's kernel: {problem}") from problem
    check_built_in(root / f"boot/config-{release}")
    vmlinux = root / f"usr/src/linux-headers-{release}/vmlinux"
    unpack_vmlinux(root, root / f"boot/vmlinuz-{release}", vmlinux, log)


def unpack_vmlinux(root: Path, image: Path, vmlinux: Path, log: Path) -> None:
    """Unpack the ELF kernel of a bzImage with the tools in `root`.

    Raises:
        BuildError: it is no bzImage, or not compressed with zstd.
    """
    try:
        payload = zstd_payload(image.read_bytes())
    except (FileNotFoundError, NotABzImage) as problem:
        raise BuildError(f"the guest's kernel: {problem}") from problem
    packed = vmlinux.with_suffix(".zst")
    packed.write_bytes(payload)
    with packed.open("rb") as source, vmlinux.open("wb") as target:
        run_private(in_root(root, ["zstd", "-dc"]), log, stdin=source, stdout=target)
    packed.unlink()


def check_built_in(config: Path) -> None:
    """Check that a kernel can mount its root without an initrd.

    Raises:
        BuildError: it lacks a driver, named in the message.
    """
    settings = set(config.read_text().splitlines())
    missing = [name for name in NEEDED_BUILT_IN if f"{name}=y" not in settings]
    if missing:
        raise BuildError(f"{config.name}: not built into the kernel: {', '.join(missing)}")
