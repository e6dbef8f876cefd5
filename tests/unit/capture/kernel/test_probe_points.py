"""Probe points match the probes; a survey names absent points and the reason."""

from __future__ import annotations

import re

import pytest

from arenatrace.capture.kernel.probe_points import (
    POINTS,
    Point,
    PointState,
    require_essential,
    survey,
)
from arenatrace.capture.kernel.struct_offsets import OPTIONAL, offsets
from arenatrace.errors import UnsupportedError
from tests.unit.capture.kernel.kernel_blob import kernel
from tests.unit.capture.probes.probe_source import Probe, guarded, probes, text

#: Fallback points, unused on kernels that have the function they replace.
_STAND_INS = [point for point in POINTS if point.instead_of]
_PLAIN = [point for point in POINTS if not point.instead_of]
_READERS = [(member, name) for member, names in OPTIONAL.items() for name in names]
_BY_NAME = {point.function: point for point in POINTS}


def _state(function: str, states: list[PointState]) -> PointState:
    (found,) = [state for state in states if state.point.function == function]
    return found


def _machine(point: Point) -> str:
    return point.arch or "x86_64"


def _others(function: str, states: list[PointState]) -> list[PointState]:
    return [state for state in states if state.point.function != function]


@pytest.mark.parametrize("arch", ["x86_64", "aarch64"])
def test_all_points_are_present_on_a_complete_kernel(arch: str) -> None:
    btf = kernel()
    states = survey(btf, offsets(btf), arch)
    assert [state.point for state in states] == [p for p in _PLAIN if p.arch in ("", arch)]
    assert all(state.present and not state.why_not for state in states)


@pytest.mark.parametrize("point", _PLAIN, ids=lambda point: point.function)
def test_missing_function_is_reported(point: Point) -> None:
    btf = kernel(functions={point.function: None})
    states = survey(btf, offsets(btf), _machine(point))
    assert _state(point.function, states) == PointState(
        point, False, "this kernel has no such function"
    )
    assert all(state.present for state in _others(point.function, states))


@pytest.mark.parametrize("point", _STAND_INS, ids=lambda point: point.function)
def test_alternative_point_is_used_when_the_first_is_missing(point: Point) -> None:
    btf = kernel(functions={point.instead_of: None})
    states = survey(btf, offsets(btf), _machine(point))
    assert _state(point.function, states).present
    assert not _state(point.instead_of, states).present
    btf = kernel(functions={point.instead_of: None, point.function: None})
    states = survey(btf, offsets(btf), _machine(point))
    assert not _state(point.function, states).present


@pytest.mark.parametrize("point", _PLAIN, ids=lambda point: point.function)
def test_function_with_other_parameters_is_absent(point: Point) -> None:
    btf = kernel(functions={point.function: (*point.params, "surprise")})
    states = survey(btf, offsets(btf), _machine(point))
    state = _state(point.function, states)
    assert not state.present
    assert state.why_not.startswith("other parameters in this kernel: ")
    assert state.why_not.endswith("surprise")
    assert all(state.present for state in _others(point.function, states))


def test_function_without_parameters_is_reported() -> None:
    btf = kernel(functions={"arena_map_free": ()})
    state = _state("arena_map_free", survey(btf, offsets(btf), "x86_64"))
    assert state.why_not == "other parameters in this kernel: none"


@pytest.mark.parametrize(("member", "function"), _READERS, ids=repr)
def test_probe_is_absent_without_its_optional_member(
    member: tuple[str, tuple[str, ...]], function: str
) -> None:
    point = _BY_NAME[function]
    replaced = {point.instead_of: None} if point.instead_of else {}
    btf = kernel(without=[member], functions=replaced)
    states = survey(btf, offsets(btf), _machine(point))
    assert (
        _state(function, states).why_not
        == "a struct member that it reads is missing in this kernel"
    )
    affected = {*OPTIONAL[member], *replaced}
    assert all(state.present for state in states if state.point.function not in affected)


def test_probes_use_exactly_these_macros() -> None:
    assert set(guarded()) == {point.macro for point in POINTS}
    assert set(re.findall(r"AT_PROBE_\w+", text())) == set(guarded())


def test_each_probe_hooks_the_function_of_its_macro() -> None:
    hooked = {probe.guard: probe.function for probe in probes()}
    assert hooked == {p.macro: p.function for p in POINTS if not p.function.startswith("bpf_iter")}
    assert all(probe.guard == f"AT_PROBE_{probe.function}" for probe in probes())


@pytest.mark.parametrize("probe", probes(), ids=lambda probe: f"{probe.type}-{probe.function}")
def test_parameters_are_counted_as_in_the_kernel(probe: Probe) -> None:
    """Arguments are read by position; a return value follows the last parameter."""
    expected = len(_BY_NAME[probe.function].params)
    returns = probe.type == "KRETFUNC" and probe.params[-1].split()[-1].lstrip("*") == "ret"
    assert len(probe.params) - returns == expected


def test_only_the_handler_is_essential() -> None:
    assert [p.function for p in POINTS if p.essential] == ["bpf_arena_handle_page_fault"]


def test_kernel_without_the_handler_is_refused() -> None:
    btf = kernel(functions={"bpf_arena_handle_page_fault": None})
    states = survey(btf, offsets(btf), "x86_64")
    with pytest.raises(UnsupportedError, match="no such function") as caught:
        require_essential(states)
    assert "bpf_arena_handle_page_fault" in caught.value.message
    assert "Linux 7.2" in caught.value.hint


def test_kernel_with_only_the_handler_is_accepted() -> None:
    gone = dict.fromkeys(point.function for point in POINTS if not point.essential)
    btf = kernel(functions=gone)
    require_essential(survey(btf, offsets(btf), "x86_64"))
