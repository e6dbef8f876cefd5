"""doctor lists all missing requirements at once; its exit code depends on them."""

from __future__ import annotations

import json

import pytest

from arenatrace.capture import doctor
from arenatrace.capture.kernel import privileges
from arenatrace.capture.kernel.btf import Btf
from arenatrace.cli.app import run
from arenatrace.errors import UnsupportedError
from tests.unit.capture.kernel.btf_blob import Blob


def _refuse(message: str) -> None:
    raise UnsupportedError(message, f"way out of {message}")


@pytest.fixture
def bare_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Machine that meets no requirement, with an empty BTF."""
    blob = Blob()
    blob.integer()
    data = blob.encode()
    monkeypatch.setattr(privileges, "require", lambda: _refuse("privileges"))
    monkeypatch.setattr(doctor, "require_headers", lambda _release: _refuse("headers"))
    monkeypatch.setattr(doctor, "import_bcc", lambda: _refuse("bcc"))
    monkeypatch.setattr(Btf, "of_running_kernel", lambda: Btf(data))


@pytest.mark.usefixtures("bare_machine")
def test_json_lists_all_missing_requirements(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--json"]) == 5
    said = json.loads(capsys.readouterr().out)
    bad = {
        check["name"]: check for check in said["checks"] if not check["ok"] and check["required"]
    }
    assert said["can_record"] is False
    assert said["profile"] is None
    assert set(bad) == {"privileges", "headers", "bcc", "structures", "recovery"}
    assert bad["bcc"]["hint"] == "way out of bcc"
    assert not any(point["present"] for point in said["points"])


@pytest.mark.usefixtures("bare_machine")
def test_text_lists_all_missing_requirements(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor"]) == 5
    said = capsys.readouterr().out
    assert said.startswith("This machine cannot record arena faults.\n")
    for name in ("privileges", "headers", "bcc", "structures", "recovery"):
        assert f" {name}: " in said
    assert "MISSING" in said
    assert max(map(len, said.splitlines())) <= 80


def test_probe_points_are_unknown_without_btf(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Btf, "of_running_kernel", lambda: _refuse("BTF"))
    assert run(["doctor", "--json"]) == 5
    said = json.loads(capsys.readouterr().out)
    assert {point["why_not"] for point in said["points"]} == {"unknown without BTF"}
