"""Who may record, decided from texts of /proc and /sys."""

from __future__ import annotations

from pathlib import Path

import pytest

from arenatrace.capture.kernel import privileges
from arenatrace.capture.kernel.privileges import lockdown_mode, missing_capabilities
from arenatrace.errors import UnsupportedError

_ADMIN, _PERFMON, _BPF = 1 << 21, 1 << 38, 1 << 39
_INTEGRITY = "none [integrity] confidentiality\n"
_CONFIDENTIALITY = "none integrity [confidentiality]\n"


def _status(effective: int) -> str:
    """All other capability sets are full: only the effective one counts."""
    full = f"{(1 << 41) - 1:016x}"
    return (
        f"Name:\tpython\nUid:\t1000\t1000\t1000\t1000\nCapInh:\t{full}\nCapPrm:\t{full}\n"
        f"CapEff:\t{effective:016x}\nCapBnd:\t{full}\nCapAmb:\t{full}\n"
    )


@pytest.mark.parametrize(
    ("effective", "missing"),
    [
        (0, ["CAP_BPF", "CAP_PERFMON"]),
        (_BPF, ["CAP_PERFMON"]),
        (_PERFMON, ["CAP_BPF"]),
        (_BPF | _PERFMON, []),
        (_ADMIN, []),
        ((1 << 41) - 1, []),
        ((1 << 41) - 1 & ~(_ADMIN | _BPF), ["CAP_BPF"]),
    ],
)
def test_missing_capabilities(effective: int, missing: list[str]) -> None:
    assert missing_capabilities(_status(effective)) == missing


def test_status_without_capabilities_lacks_all() -> None:
    assert missing_capabilities("Name:\tpython\n") == ["CAP_BPF", "CAP_PERFMON"]


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("[none] integrity confidentiality\n", "none"),
        (_INTEGRITY, "integrity"),
        (_CONFIDENTIALITY, "confidentiality"),
        ("", "none"),
        ("] odd [", "none"),
    ],
)
def test_lockdown_mode(text: str, mode: str) -> None:
    assert lockdown_mode(text) == mode


def _machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, effective: int, lockdown: str | None
) -> None:
    status, mode = tmp_path / "status", tmp_path / "lockdown"
    status.write_text(_status(effective))
    if lockdown is not None:
        mode.write_text(lockdown)
    monkeypatch.setattr(privileges, "_STATUS", status)
    monkeypatch.setattr(privileges, "_LOCKDOWN", mode)


@pytest.mark.parametrize("lockdown", [None, "[none] integrity confidentiality", _INTEGRITY])
def test_sufficient_privileges_are_accepted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lockdown: str | None
) -> None:
    """A kernel without the lockdown LSM is accepted too."""
    _machine(monkeypatch, tmp_path, effective=_ADMIN, lockdown=lockdown)
    privileges.require()


@pytest.mark.parametrize(("euid", "who"), [(0, "root"), (1000, "this user")])
def test_missing_capabilities_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, euid: int, who: str
) -> None:
    _machine(monkeypatch, tmp_path, effective=0, lockdown=None)
    monkeypatch.setattr("os.geteuid", lambda: euid)
    with pytest.raises(UnsupportedError) as caught:
        privileges.require()
    message = f"recording needs more privileges: {who} lacks CAP_BPF and CAP_PERFMON"
    assert caught.value.message == message
    assert "sudo arenatrace record" in caught.value.hint


def test_confidentiality_lockdown_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _machine(monkeypatch, tmp_path, effective=_ADMIN, lockdown=_CONFIDENTIALITY)
    with pytest.raises(UnsupportedError, match="lockdown is in confidentiality mode"):
        privileges.require()
