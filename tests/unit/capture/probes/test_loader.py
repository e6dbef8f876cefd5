"""What the loader says where BCC, headers or probes are missing or refuse; no BCC is needed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from arenatrace.capture.kernel.probe_points import POINTS, PointState
from arenatrace.capture.probes import loader
from arenatrace.capture.probes.loader import Probes, import_bcc, probes_dir, require_headers
from arenatrace.capture.ring.ring_size import DEFAULT_RINGS
from arenatrace.errors import UnsupportedError
from tests.unit.capture.probes.probe_source import SOURCE, probes

_HANDLER = "bpf_arena_handle_page_fault"


def test_the_probes_of_the_checkout() -> None:
    assert probes_dir() == SOURCE.parent
    assert (probes_dir() / "arena_events.h").is_file()


def test_probes_that_are_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "_SOURCE", "no-such-file.c")
    with pytest.raises(UnsupportedError, match=r"no-such-file\.c is not installed"):
        probes_dir()


def test_no_bcc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bcc", None)
    with pytest.raises(UnsupportedError, match="bcc cannot be imported by Python 3") as caught:
        import_bcc()
    assert "python3-bpfcc" in caught.value.hint


def test_bcc_without_its_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The Python files are there, libbcc.so.0 is not: ctypes raises OSError."""
    (tmp_path / "bcc.py").write_text("import ctypes\nctypes.CDLL('libno-such-library.so.0')\n")
    monkeypatch.delitem(sys.modules, "bcc", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UnsupportedError, match="libno-such-library") as caught:
        import_bcc()
    assert "python3-bpfcc" in caught.value.hint


def test_the_other_package_called_bcc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bcc", ModuleType("bcc"))
    with pytest.raises(UnsupportedError, match="not the BPF Compiler Collection") as caught:
        import_bcc()
    assert caught.value.hint.startswith("pip uninstall bcc")
    assert "python3-bpfcc" in caught.value.hint


def test_the_right_bcc(monkeypatch: pytest.MonkeyPatch) -> None:
    bcc = ModuleType("bcc")
    bcc.BPF = object  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "bcc", bcc)
    assert import_bcc() is bcc


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty directory that the loader takes for the root of the file system."""
    rooted: Callable[[str], Path] = lambda path: tmp_path / path.lstrip("/")  # noqa: E731
    monkeypatch.setattr(loader, "Path", rooted)
    monkeypatch.delenv("BCC_KERNEL_SOURCE", raising=False)
    return tmp_path


def test_headers_missing(root: Path) -> None:
    with pytest.raises(UnsupportedError, match="headers of the running kernel are missing") as err:
        require_headers("7.2.0-test")
    assert "7.2.0-test/build does not exist" in err.value.message
    assert "apt install linux-headers-7.2.0-test" in err.value.hint


@pytest.mark.parametrize("where", ["build", "kheaders", "environment"])
def test_headers_in_one_place_are_enough(
    monkeypatch: pytest.MonkeyPatch, root: Path, where: str
) -> None:
    if where == "build":
        (root / "lib/modules/7.2.0-test/build").mkdir(parents=True)
    elif where == "kheaders":
        (root / "sys/kernel").mkdir(parents=True)
        (root / "sys/kernel/kheaders.tar.xz").touch()
    else:
        monkeypatch.setenv("BCC_KERNEL_SOURCE", "/usr/src/linux")
    require_headers("7.2.0-test")


def test_what_native_code_says_is_caught(capfd: pytest.CaptureFixture[str]) -> None:
    with loader._captured_stderr() as said:
        os.write(2, b"inside\nsecond \xff\n")
    os.write(2, b"outside\n")
    assert said == ["inside", "second \ufffd"]
    assert capfd.readouterr().err == "outside\n"


class _Bpf:
    """Stands in for bcc.BPF: refuses to attach what it is told to."""

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
    """The names BCC's macros make of the probes."""
    names = [f"{probe.type.lower()}__vmlinux__{probe.function}" for probe in probes()]
    names += ["bpf_iter__bpf_map", "bpf_iter__bpf_prog"]
    return [name.encode() for name in names]


def _probes(monkeypatch: pytest.MonkeyPatch, bpf: _Bpf, names: list[bytes] | None = None) -> Probes:
    """Probes as after compiling, without having compiled anything."""
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


def test_every_point_is_attached(monkeypatch: pytest.MonkeyPatch) -> None:
    bpf = _Bpf()
    made = _probes(monkeypatch, bpf)
    made.attach()
    assert sorted(made.attached) == sorted(point.function for point in POINTS)
    assert len(bpf.calls) == len(_function_names())
    assert made._iterators == [99, 99]
    assert made.refused == {}


def test_a_refused_probe_is_named_with_the_kernels_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = _probes(monkeypatch, _Bpf(refuse=("arena_vm_fault",)))
    made.attach()
    assert made.refused == {"arena_vm_fault": "libbpf: the reason"}
    assert "arena_vm_fault" not in made.attached
    assert len(made.attached) == len(POINTS) - 1


@pytest.mark.parametrize("half", ["kfunc__vmlinux__", "kretfunc__vmlinux__", ""])
def test_without_the_handler_there_is_no_recording(
    monkeypatch: pytest.MonkeyPatch, half: str
) -> None:
    """Its two probes need each other: either one refused is the point refused."""
    made = _probes(monkeypatch, _Bpf(refuse=(half + _HANDLER,)))
    with pytest.raises(UnsupportedError) as caught:
        made.attach()
    assert caught.value.message == f"{_HANDLER} cannot be probed: libbpf: the reason"


def test_closing_twice_is_closing_once(monkeypatch: pytest.MonkeyPatch) -> None:
    bpf = _Bpf()
    made = _probes(monkeypatch, bpf)
    made.close()
    made.close()
    assert bpf.cleanups == 1


def test_a_compiler_error_is_one_line() -> None:
    class Broken:
        """A bcc.BPF whose compiler complains."""

        def __init__(self, **_given: object) -> None:
            os.write(2, b"note: x\n/virtual/main.c:1:2: error: no member\nmore\n")
            raise RuntimeError("Failed to compile BPF module")

    with pytest.raises(UnsupportedError) as caught:
        Probes._compile(SimpleNamespace(BPF=Broken), "text", [], DEFAULT_RINGS)
    assert caught.value.message.endswith("/virtual/main.c:1:2: error: no member")


def test_a_ring_the_kernel_has_no_memory_for() -> None:
    class Full:
        """A bcc.BPF on a machine without that much memory."""

        def __init__(self, **_given: object) -> None:
            os.write(2, b"could not open bpf map: events, error: Cannot allocate memory\n")
            raise RuntimeError("Failed to compile BPF module <text>")

    with pytest.raises(UnsupportedError) as caught:
        Probes._compile(SimpleNamespace(BPF=Full), "text", [], DEFAULT_RINGS)
    assert caught.value.message == (
        f"the kernel refused the ring buffers ({DEFAULT_RINGS}): Cannot allocate memory"
    )
    assert "--ring-size" in caught.value.hint
