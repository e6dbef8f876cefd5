"""What this machine offers for live capture, each thing looked at on its own.

``record`` stops at the first thing that is missing; a checkup names all of them at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from arenatrace.capture import host, privileges, profile
from arenatrace.capture.btf import Btf
from arenatrace.capture.layout import offsets
from arenatrace.capture.loader import import_bcc, probes_dir, require_headers
from arenatrace.capture.points import POINTS, PointState, require_essential, survey
from arenatrace.errors import UnsupportedError


@dataclass(frozen=True)
class Check:
    """One thing recording needs: whether it is there, and if not, the way out."""

    name: str
    ok: bool
    detail: str
    hint: str = ""


@dataclass(frozen=True)
class Checkup:
    """All checks, the probe points, and the replay profile of this kernel where it is known."""

    kernel: str
    arch: str
    checks: tuple[Check, ...]
    points: tuple[PointState, ...]
    profile: str | None

    @property
    def can_record(self) -> bool:
        """Whether ``arenatrace record`` would start."""
        return all(check.ok for check in self.checks)


def _try(name: str, look: Callable[[], Any], found: Callable[[Any], str]) -> tuple[Check, Any]:
    try:
        value = look()
    except UnsupportedError as error:
        return Check(name, False, error.message, error.hint), None
    return Check(name, True, found(value)), value


def checkup() -> Checkup:
    """Look at everything ``record`` needs; nothing is compiled, loaded or attached."""
    release = host.release()
    checks = [
        _try("privileges", privileges.require, lambda _: "enough to load tracing programs")[0],
        _try("headers", lambda: require_headers(release), lambda _: f"for {release}")[0],
        _try("bcc", import_bcc, lambda bcc: f"version {getattr(bcc, '__version__', 'unknown')}")[0],
        _try("probes", probes_dir, lambda _: "their source is installed")[0],
    ]
    check, btf = _try("BTF", Btf.of_running_kernel, lambda _: "the kernel describes its types")
    checks.append(check)
    if btf is None:
        unknown = tuple(PointState(point, False, "unknown without BTF") for point in POINTS)
        return Checkup(release, host.arch(), tuple(checks), unknown, None)
    check, members = _try(
        "structures", lambda: offsets(btf), lambda found: f"{len(found)} members where expected"
    )
    checks.append(check)
    states = survey(btf, members or {})
    checks.append(
        _try("recovery", lambda: require_essential(states), lambda _: "faults are recovered")[0]
    )
    generation = profile.detect(profile.features(btf))
    return Checkup(release, host.arch(), tuple(checks), tuple(states), generation)
