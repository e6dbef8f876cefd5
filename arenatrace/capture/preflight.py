"""The running kernel, as far as a recording depends on it."""

from __future__ import annotations

from dataclasses import dataclass

from arenatrace.capture.kernel import machine, privileges
from arenatrace.capture.kernel.btf import Btf
from arenatrace.capture.kernel.probe_points import PointState, at_level, require_essential, survey
from arenatrace.capture.kernel.struct_offsets import offsets
from arenatrace.capture.probes.bcc_module import import_bcc, require_headers


@dataclass(frozen=True)
class Kernel:
    """BTF of the kernel, the offsets the probes need, and the points of the requested level."""

    btf: Btf
    offsets: dict[str, int]
    states: list[PointState]

    @classmethod
    def detect(cls, level: str, *, without_recovery: bool = False) -> Kernel:
        """Detect the kernel's features.

        Args:
            level: a ``schema.Level``.
            without_recovery: accept a kernel in which kernel-side faults are oopses.

        Raises:
            UnsupportedError: for the first requirement that is missing.
        """
        privileges.require()
        btf = Btf.of_running_kernel()
        found = offsets(btf)
        states = survey(btf, found)
        if not without_recovery:
            require_essential(states)
        import_bcc()
        require_headers(machine.release())
        return cls(btf, found, at_level(states, level))
