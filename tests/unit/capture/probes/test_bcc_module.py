"""Errors for a missing or wrong BCC, missing headers, and the capture of native output."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from arenatrace.capture.probes import bcc_module
from arenatrace.capture.probes.bcc_module import captured_stderr, import_bcc, require_headers
from arenatrace.errors import UnsupportedError


def test_missing_bcc_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bcc", None)
    with pytest.raises(UnsupportedError, match="bcc cannot be imported by Python 3") as caught:
        import_bcc()
    assert "python3-bpfcc" in caught.value.hint


def test_bcc_without_its_library_names_the_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The Python files are there, libbcc.so.0 is not: ctypes raises OSError."""
    (tmp_path / "bcc.py").write_text("import ctypes\nctypes.CDLL('libno-such-library.so.0')\n")
    monkeypatch.delitem(sys.modules, "bcc", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UnsupportedError, match="libno-such-library") as caught:
        import_bcc()
    assert "python3-bpfcc" in caught.value.hint


def test_unrelated_bcc_package_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bcc", ModuleType("bcc"))
    with pytest.raises(UnsupportedError, match="not the BPF Compiler Collection") as caught:
        import_bcc()
    assert caught.value.hint.startswith("pip uninstall bcc")
    assert "python3-bpfcc" in caught.value.hint


def test_distribution_bcc_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    bcc = ModuleType("bcc")
    bcc.BPF = object  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "bcc", bcc)
    assert import_bcc() is bcc


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty directory in place of the root of the file system."""
    rooted: Callable[[str], Path] = lambda path: tmp_path / path.lstrip("/")  # noqa: E731
    monkeypatch.setattr(bcc_module, "Path", rooted)
    monkeypatch.delenv("BCC_KERNEL_SOURCE", raising=False)
    return tmp_path


def test_missing_headers_are_named(root: Path) -> None:
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


def test_captured_stderr_has_output_of_native_code(capfd: pytest.CaptureFixture[str]) -> None:
    with captured_stderr() as lines:
        os.write(2, b"inside\nsecond \xff\n")
    os.write(2, b"outside\n")
    assert lines == ["inside", "second \ufffd"]
    assert capfd.readouterr().err == "outside\n"
