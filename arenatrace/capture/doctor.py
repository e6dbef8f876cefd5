"""Requirements of live capture on this machine, each checked on its own.

``record`` stops at the first missing requirement; ``doctor`` names all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from arenatrace.capture.kernel import machine, privileges, profile
from arenatrace.capture.kernel.btf import Btf
from arenatrace.capture.kernel.ftrace_functions import traceable
from arenatrace.capture.kernel.probe_points import (
    POINTS,
    Point,
    PointState,
    require_essential,
    survey,
)
from arenatrace.capture.kernel.stream_readers import StreamReader, stream_readers
from arenatrace.capture.kernel.struct_offsets import offsets
from arenatrace.capture.probes.bcc_module import import_bcc, require_headers
from arenatrace.capture.probes.source import probes_dir
from arenatrace.errors import UnsupportedError


@dataclass(frozen=True)
class Check:
    """One requirement: whether it is met, and if not, what to do."""

    name: str
    ok: bool
    detail: str
    hint: str = ""
    #: Recording is impossible without it.
    required: bool = True


@dataclass(frozen=True)
class Checkup:
    """All checks, the probe points, and the replay profile of this kernel if known."""

    kernel: str
    arch: str
    checks: tuple[Check, ...]
    points: tuple[PointState, ...]
    profile: str | None
    #: Names of the points that ftrace can attach to; None: not readable for this user.
    attachable: frozenset[str] | None
    readers: tuple[StreamReader, ...]

    def can_attach(self, point: Point) -> bool | None:
        """Return whether a probe can be attached to ``point``; None if unknown."""
        if self.attachable is None or point.is_iterator:
            return None
        return point.function in self.attachable

    @property
    def can_record(self) -> bool:
        """Return whether ``arenatrace record`` would start."""
        return all(check.ok for check in self.checks if check.required)


def _try(name: str, look: Callable[[], Any], found: Callable[[Any], str]) -> tuple[Check, Any]:
    try:
        value = look()
    except UnsupportedError as error:
        return Check(name, False, error.message, error.hint), None
    return Check(name, True, found(value)), value


def _lockdown() -> Check:
    """Check the lockdown LSM. Whether it forbids recording is part of the privileges."""
    mode = privileges.lockdown()
    return Check("lockdown", mode != "confidentiality", mode or "off", required=False)


def _attachable(found: frozenset[str] | None) -> Check:
    if found is None:
        return Check(
            "ftrace",
            False,
            "cannot read the list of traceable functions",
            "mount -t tracefs none /sys/kernel/tracing, and run as root",
            required=False,
        )
    return Check("ftrace", True, "list of traceable functions read", required=False)


def _readers(readers: tuple[StreamReader, ...]) -> Check:
    """Check for readers of the kernel reports. A report is delivered to one reader only."""
    reading = [f"{each.comm} (pid {each.pid})" for each in readers if each.tracelog]
    holding = [f"{each.comm} (pid {each.pid})" for each in readers if not each.tracelog]
    parts = []
    if reading:
        parts.append(f"reading: {', '.join(reading)}")
    if holding:
        parts.append(f"may read (programs open): {', '.join(holding[:5])}")
        if len(holding) > 5:
            parts.append(f"and {len(holding) - 5} more")
    return Check(
        "streams",
        not reading,
        "; ".join(parts) or "no other reader of the kernel's reports found",
        "recordings are not affected; a report that another reader takes is missing from tracelog"
        if reading
        else "",
        required=False,
    )


def checkup() -> Checkup:
    """Check every requirement of ``record``; nothing is compiled, loaded or attached."""
    release = machine.release()
    checks = [
        _try("privileges", privileges.require, lambda _: "sufficient to load tracing programs")[0],
        _lockdown(),
        _try("headers", lambda: require_headers(release), lambda _: f"for {release}")[0],
        _try("bcc", import_bcc, lambda bcc: f"version {getattr(bcc, '__version__', 'unknown')}")[0],
        _try("probes", probes_dir, lambda _: "source installed")[0],
    ]
    readers = tuple(stream_readers())
    attachable = traceable(frozenset(point.function for point in POINTS))
    checks += [_attachable(attachable), _readers(readers)]
    check, btf = _try("BTF", Btf.of_running_kernel, lambda _: "kernel type information found")
    checks.append(check)
    if btf is None:
        unknown = tuple(PointState(point, False, "unknown without BTF") for point in POINTS)
        return Checkup(release, machine.arch(), tuple(checks), unknown, None, attachable, readers)
    check, members = _try(
        "structures", lambda: offsets(btf), lambda found: f"{len(found)} struct members found"
    )
    checks.append(check)
    states = survey(btf, members or {})
    checks.append(
        _try(
            "recovery",
            lambda: require_essential(states),
            lambda _: "kernel recovers from arena faults",
        )[0]
    )
    profile_name = profile.detect(profile.features(btf))
    return Checkup(
        release, machine.arch(), tuple(checks), tuple(states), profile_name, attachable, readers
    )
