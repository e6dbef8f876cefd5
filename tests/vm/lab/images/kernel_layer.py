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

# Raise it when this file changes what ends up in the layer.
RECIPE = "1"
SUITES = ("sid", "experimental", "trixie-backports", "trixie")
UNPACK = Path(__file__).parent / "host" / "unpack-debs.sh"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
# Where the layer being built is for the programs in the root file system.
PLACE = "/job"

APT_CONF = f"""\
Dir::State "{PLACE}/apt/state";
Dir::State::status "/var/lib/dpkg/status";
Dir::Cache "{PLACE}/apt/cache";
Dir::Etc::sourcelist "{PLACE}/apt/sources.list";
Dir::Etc::sourceparts "{PLACE}/apt/none";
Dir::Etc::preferencesparts "{PLACE}/apt/none";
Dir::Etc::parts "{PLACE}/apt/none";
APT::Update::Error-Mode "any";
APT::Sandbox::User "root";
APT::Install-Recommends "false";
Acquire::Languages "none";
Acquire::Check-Valid-Until "false";
"""

# What a simulated installation must not do: replace or remove what the guest has.
UNWANTED = re.compile(r"^(?:Inst (\S+) \[|Remv (\S+) )", re.MULTILINE)


@dataclass(frozen=True)
class KernelTree:
    """A kernel with its modules and headers, to be laid over the root file system."""

    root: Path
    image: Path
    release: str

    @classmethod
    def at(cls, layer: Path) -> KernelTree:
        """Returns the kernel that lies in a layer's directory."""
        release = (layer / "release").read_text().strip()
        root = layer / "root"
        return cls(root=root, image=_one_of(*_places(root, "vmlinuz", release)), release=release)


def kernel_key(wanted: str) -> str:
    """Returns the key of the layer for this beginning of a version."""
    return key_of(base_key(), RECIPE, *SUITES, UNPACK.read_bytes(), wanted)


def kernel_layer(cache: Cache, wanted: str) -> KernelTree:
    """Returns the newest kernel that `wanted` means, downloaded first if needed (10 s).

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
        command = ["sh", "-s", "--", f"{PLACE}/apt/cache/archives", f"{PLACE}/root", release]
        run_private(in_root(base, command, writable=fresh, place=PLACE), log, stdin=script)
    shutil.rmtree(fresh / "apt")
    (fresh / "release").write_text(f"{release}\n")
    tree = KernelTree.at(fresh)
    check_built_in(_one_of(*_places(tree.root, "config", release)))
    vmlinux = tree.root / f"usr/src/{HEADERS}{release}/vmlinux"
    # Debian's own holds nothing but BTF, which is all that a module needs of it.
    if not vmlinux.exists():
        unpack_vmlinux(base, tree.image, vmlinux, log)


def _places(root: Path, name: str, release: str) -> tuple[Path, Path]:
    """Where a kernel's package puts a file: beside its modules, in older ones in /boot."""
    return root / f"usr/lib/modules/{release}/{name}", root / f"boot/{name}-{release}"


def _one_of(*places: Path) -> Path:
    for place in places:
        if place.is_file():
            return place
    raise BuildError(f"the kernel's package has none of {', '.join(map(str, places))}")


class GuestApt:
    """The guest's apt with a state of its own, below the layer being built."""

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
        """Downloads the newest kernel that can be had and returns its release."""
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
        """Runs one of apt's programs and returns what it printed; BuildError if it fails."""
        command = [program, "-c", f"{PLACE}/apt/apt.conf", *words]
        argv = in_root(self._base, command, writable=self._fresh, place=PLACE)
        with tempfile.TemporaryFile() as said:
            run_private(argv, self._log, stdout=said)
            said.seek(0)
            return said.read().decode()


def _error_line(problem: BuildError) -> str:
    """Returns the first reason that apt gave, or else the last it said."""
    lines = str(problem).splitlines()
    errors = [line for line in lines if line.startswith("E: ")]
    return errors[0].removeprefix("E: ") if errors else lines[-1]
