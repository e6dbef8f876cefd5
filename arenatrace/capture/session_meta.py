"""Meta of a recording: kernel, probes, command, and what could not be recorded."""

from __future__ import annotations

from arenatrace.capture.kernel import machine, profile
from arenatrace.capture.plan import Plan
from arenatrace.capture.preflight import Kernel
from arenatrace.capture.probes.loader import Probes
from arenatrace.trace.meta import Meta, MissingProbe
from arenatrace.trace.meta import Probes as ProbesMeta


def limits(probes: Probes) -> list[str]:
    """Return warnings about limits of this kernel, which hold for the entire recording."""
    notices = [
        f"probe refused by the kernel: {name}: {why}" for name, why in probes.refused.items()
    ]
    if "bpf_arena_handle_page_fault" not in probes.attached:
        notices.append("this kernel does not recover kernel-side arena faults: each is an oops")
    return notices


def meta_of(plan: Plan, probes: Probes, kernel: Kernel, start_ns: int) -> Meta:
    """Return the meta of a recording that begins at ``start_ns`` of CLOCK_MONOTONIC."""
    attached, states = probes.attached, kernel.states
    features = profile.features(kernel.btf)
    replaced = {state.point.instead_of for state in states if state.point.function in attached}
    missing = tuple(
        MissingProbe(state.point.function, state.point.gives)
        for state in states
        if state.point.function not in (*attached, *replaced)
    )
    points = {state.point.function: state.present for state in states}
    return Meta(
        kernel=machine.release(),
        hostname=machine.name(),
        boot_id=machine.boot_id(),
        wall_offset_ns=machine.wall_offset_ns(),
        level=plan.level,
        start_ts_ns=start_ns,
        probes=ProbesMeta(tuple(attached), missing),
        command=plan.command or None,
        features={**points, **features},
        profile=profile.detect(features),
        notices=tuple(limits(probes)),
        filters=plan.filters.as_meta(),
        nr_node_ids=machine.nr_node_ids(),
        online_nodes=machine.online_nodes(),
    )
