"""The kernel layer: another kernel than the root file system's own, with its headers.

Its packages are downloaded by the guest's apt, from more suites than the guest itself
uses, together with whatever of their dependencies the root file system lacks (an older
kernel's headers need the compiler it was built with). They are unpacked into a tree that
is laid over the root file system.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.vm.lab.errors import BuildError, KernelUnavailable
from tests.vm.lab.images.cache import Cache, key_of
from tests.vm.lab.images.kernel_choice import HEADERS, IMAGE, candidates
from tests.vm.lab.images.mirror import ENVIRONMENT, find_mirror
from tests.vm.lab.images.namespace import build_environment, in_root, run_private
from tests.vm.lab.images.rootfs import base_key, base_layer, check_built_in, unpack_vmlinux

# Change it when this file changes the contents of the layer.
RECIPE = "1"
SUITES = ("sid", "experimental", "trixie-backports", "trixie")
UNPACK = Path(__file__).parent / "host" / "unpack-debs.sh"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
# Where the programs in the root file system see the layer being built.
MOUNT_POINT = "/job"

APT_CONF = f"""\
Dir::State "{MOUNT_POINT}/apt/state";
Dir::State::status "/var/lib/dpkg/status";
Dir::Cache "{MOUNT_POINT}/apt/cache";
Dir::Etc::sourcelist "{MOUNT_POINT}/apt/sources.list";
Dir::Etc::sourceparts "{MOUNT_POINT}/apt/none";
Dir::Etc::preferencesparts "{MOUNT_POINT}/apt/none";
Dir::Etc::parts "{MOUNT_POINT}/apt/none";
APT::Update::Error-Mode "any";
APT::Sandbox::User "root";
APT::Install-Recommends "false";
Acquire::Languages "none";
Acquire::Check-Valid-Until "false";
"""

# A simulated installation must not replace or remove a package of the guest.
UNWANTED = re.compile(r"^(?:Inst (\S+) \[|Remv (\S+) )", re.MULTILINE)


@dataclass(frozen=True)
class KernelTree:
    """A kernel with its modules and headers, laid over the root file system."""

    root: Path
    image: Path
    release: str

    @classmethod
    def at(cls, layer: Path) -> KernelTree:
        """Return the kernel in a layer's directory."""
        release = (layer / "release").read_text().strip()
        root = layer / "root"
        return cls(root=root, image=_one_of(*_places(root, "vmlinuz", release)), release=release)


def kernel_key(wanted: str) -> str:
    """Return the key of the layer for a version prefix."""
    return key_of(base_key(), RECIPE, *SUITES, UNPACK.read_bytes(), wanted)


def kernel_layer(cache: Cache, wanted: str) -> KernelTree:
    """Return the newest kernel that matches `wanted`; download it if needed (10 s).

    Raises:
        KernelUnavailable: no suite has it together with its headers.
        BuildError: it cannot be used in the lab.
    """
    base = base_layer(cache)
    layer = cache.layer(
        "kernel", kernel_key(wanted), lambda fresh: _build(fresh, base, wanted, cache.log)
    )
    return KernelTree.at(layer)


def _build(fresh: Path, base: Path, wanted: str, log: Path) -> None:
    release = GuestApt(fresh, base, log).download(wanted)
    with UNPACK.open("rb") as script:
        command = [
            "sh",
            "-s",
            "--",
            f"{MOUNT_POINT}/apt/cache/archives",
            f"{MOUNT_POINT}/root",
            release,
        ]
        run_private(in_root(base, command, writable=fresh, mount_at=MOUNT_POINT), log, stdin=script)
    shutil.rmtree(fresh / "apt")
    (fresh / "release").write_text(f"{release}\n")
    tree = KernelTree.at(fresh)
    check_built_in(_one_of(*_places(tree.root, "config", release)))
    vmlinux = tree.root / f"usr/src/{HEADERS}{release}/vmlinux"
    # Debian's vmlinux holds only BTF, which is enough for building a module.
    if not vmlinux.exists():
        unpack_vmlinux(base, tree.image, vmlinux, log)


def _places(root: Path, name: str, release: str) -> tuple[Path, Path]:
    """Return the paths where a kernel's package may put a file; older ones use /boot."""
    return root / f"usr/lib/modules/{release}/{name}", root / f"boot/{name}-{release}"


def _one_of(*places: Path) -> Path:
    for place in places:
        if place.is_file():
            return place
    raise BuildError(f"the kernel's package has none of {', '.join(map(str, places))}")


class GuestApt:
    """The guest's apt with a separate state, below the layer being built."""

    def __init__(self, fresh: Path, base: Path, log: Path) -> None:
        mirror = find_mirror()
        if mirror is None:
            raise KernelUnavailable(f"no Debian mirror in apt's configuration: set {ENVIRONMENT}")
        self._fresh = fresh
        self._base = base
        self._log = log
        for name in ("state/lists/partial", "cache/archives/partial", "none"):
            (fresh / "apt" / name).mkdir(parents=True)
        lines = (f"deb [signed-by={KEYRING}] {mirror} {suite} main\n" for suite in SUITES)
        (fresh / "apt/sources.list").write_text("".join(lines))
        conf = APT_CONF
        if Path(build_environment()["LAB_CA_BUNDLE"]).is_file():
            conf += 'Acquire::https::CaInfo "/tmp/ca-bundle.crt";\n'
        (fresh / "apt/apt.conf").write_text(conf)

    def download(self, wanted: str) -> str:
        """Download the newest available kernel and return its release."""
        reasons = []
        try:
            self.run("apt-get", "update")
        except BuildError as problem:
            # One suite may be gone while another has the kernel.
            reasons.append(_error_line(problem))
        found = candidates(self.run("apt-cache", "pkgnames", "linux-").split(), wanted)
        for release in found:
            names = (IMAGE + release, HEADERS + release)
            try:
                self._check(self.run("apt-get", "--simulate", "install", *names))
                self.run("apt-get", "--yes", "--download-only", "install", *names)
            except BuildError as problem:
                reasons.append(f"{release}: {_error_line(problem)}")
            else:
                return release
        if not found:
            suites = ", ".join(SUITES)
            reasons.append(f"not among the packages of {suites}, with headers")
        raise KernelUnavailable(f"no kernel {wanted}: {'; '.join(reasons)}")

    def _check(self, plan: str) -> None:
        for upgraded, removed in UNWANTED.findall(plan):
            raise BuildError(
                f"E: needs another {upgraded or removed} than the root file system has: "
                "`build --fresh` takes today's"
            )

    def run(self, program: str, *words: str) -> str:
        """Run one of apt's programs and return its output; BuildError if it fails."""
        command = [program, "-c", f"{MOUNT_POINT}/apt/apt.conf", *words]
        argv = in_root(self._base, command, writable=self._fresh, mount_at=MOUNT_POINT)
        with tempfile.TemporaryFile() as output:
            run_private(argv, self._log, stdout=output)
            output.seek(0)
            return output.read().decode()


def _error_line(problem: BuildError) -> str:
    """Return apt's first error, or else its last line."""
    lines = str(problem).splitlines()
    errors = [line for line in lines if line.startswith("E: ")]
    return errors[0].removeprefix("E: ") if errors else lines[-1]
