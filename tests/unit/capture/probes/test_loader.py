"""Attach and compile errors of the probes, with a stand-in for BCC."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest

from arenatrace.capture.kernel.probe_points import POINTS, PointState
from arenatrace.capture.probes.loader import Probes
from arenatrace.capture.ring.ring_size import DEFAULT_RINGS
from arenatrace.errors import UnsupportedError
from tests.unit.capture.probes.probe_source import probes

_HANDLER = "bpf_arena_handle_page_fault"


class _Bpf:
    """Stand-in for bcc.BPF that refuses to attach the given functions."""

    TRACING = 26

    def __init__(self, refuse: tuple[str, ...] = ()) -> None:
        self.module = None
        self.calls: list[bytes] = []
        self.cleanups = 0
        self._refuse = refuse

    def attach_kfunc(self, fn_name: bytes) -> None:
        """Attach at the entry."""
        self._attach(fn_name)

    def attach_kretfunc(self, fn_name: bytes) -> None:
        """Attach at the exit."""
        self._attach(fn_name)

    def load_func(self, name: bytes, _kind: int) -> SimpleNamespace:
        """Load without attaching."""
        self._attach(name)
        return SimpleNamespace(fd=99)

    def cleanup(self) -> None:
        """Detach everything."""
        self.cleanups += 1

    def _attach(self, name: bytes) -> None:
        self.calls.append(name)
        if any(("__" + name.decode()).endswith("__" + function) for function in self._refuse):
            os.write(2, b"libbpf: the reason\n\n")
            raise RuntimeError("Failed to attach")


def _function_names() -> list[bytes]:
    """Names that BCC's macros give the probes."""
    names = [f"{probe.type.lower()}__vmlinux__{probe.function}" for probe in probes()]
    names += ["bpf_iter__bpf_map", "bpf_iter__bpf_prog"]
    return [name.encode() for name in names]


def _probes(monkeypatch: pytest.MonkeyPatch, bpf: _Bpf, names: list[bytes] | None = None) -> Probes:
    """Probes in the state after compiling, without compiling."""
    found = _function_names()
    made = Probes.__new__(Probes)
    parts: dict[str, Any] = {
        "_bpf": bpf,
        "_lib": SimpleNamespace(
            bpf_function_name=lambda _module, index: found[index],
            bpf_num_functions=lambda _module: len(found),
        ),
        "_states": [PointState(point, True) for point in POINTS],
        "_iterators": [],
        "_closed": False,
        "attached": [],
        "refused": {},
    }
    for name, value in parts.items():
        setattr(made, name, value)
    monkeypatch.setattr(Probes, "_freeze_format", lambda _self: None)
    return made


def test_attach_attaches_every_point(monkeypatch: pytest.MonkeyPatch) -> None:
    bpf = _Bpf()
    made = _probes(monkeypatch, bpf)
    made.attach()
    assert sorted(made.attached) == sorted(point.function for point in POINTS)
    assert len(bpf.calls) == len(_function_names())
    assert made._iterators == [99, 99]
    assert made.refused == {}


def test_refused_probe_is_named_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    made = _probes(monkeypatch, _Bpf(refuse=("arena_vm_fault",)))
    made.attach()
    assert made.refused == {"arena_vm_fault": "libbpf: the reason"}
    assert "arena_vm_fault" not in made.attached
    assert len(made.attached) == len(POINTS) - 1


@pytest.mark.parametrize("half", ["kfunc__vmlinux__", "kretfunc__vmlinux__", ""])
def test_refused_handler_probe_ends_the_recording(
    monkeypatch: pytest.MonkeyPatch, half: str
) -> None:
    """The point needs both its entry and its exit probe."""
    made = _probes(monkeypatch, _Bpf(refuse=(half + _HANDLER,)))
    with pytest.raises(UnsupportedError) as caught:
        made.attach()
    assert caught.value.message == f"{_HANDLER} cannot be probed: libbpf: the reason"


def test_close_twice_cleans_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    bpf = _Bpf()
    made = _probes(monkeypatch, bpf)
    made.close()
    made.close()
    assert bpf.cleanups == 1


def test_compiler_error_is_one_line() -> None:
    class Broken:
        """A bcc.BPF whose compiler fails."""

        def __init__(self, **_given: object) -> None:
            os.write(2, b"note: x\n/virtual/main.c:1:2: error: no member\nmore\n")
            raise RuntimeError("Failed to compile BPF module")

    with pytest.raises(UnsupportedError) as caught:
        Probes._compile(SimpleNamespace(BPF=Broken), "text", [], DEFAULT_RINGS)
    assert caught.value.message.endswith("/virtual/main.c:1:2: error: no member")


def test_ring_refused_by_the_kernel_names_the_option() -> None:
    class Full:
        """A bcc.BPF on a machine with too little memory."""

        def __init__(self, **_given: object) -> None:
            os.write(2, b"could not open bpf map: events, error: Cannot allocate memory\n")
            raise RuntimeError("Failed to compile BPF module <text>")

    with pytest.raises(UnsupportedError) as caught:
        Probes._compile(SimpleNamespace(BPF=Full), "text", [], DEFAULT_RINGS)
    assert caught.value.message == (
        f"the kernel refused the ring buffers ({DEFAULT_RINGS}): Cannot allocate memory"
    )
    assert "--ring-size" in caught.value.hint
