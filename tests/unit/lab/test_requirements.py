"""Each unmet requirement of the lab is named, without a virtual machine."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from tests.paths import ROOT
from tests.vm.lab import requirements
from tests.vm.lab.images import mirror
from tests.vm.lab.requirements import TO_BUILD, TO_RUN, Mode, mode, unmet

Usage = namedtuple("Usage", ["total", "used", "free"])
CHECKOUT = ROOT
MIRROR = "http://mirror.invalid/debian"


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A directory with a stub of every program that the lab calls."""
    directory = tmp_path / "bin"
    directory.mkdir()
    for name in TO_RUN | TO_BUILD:
        program = directory / name
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    return directory


@pytest.fixture(autouse=True)
def able_host(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Patch the host so that it meets every requirement."""
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv(mirror.ENVIRONMENT, MIRROR)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 100 << 30))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object())


def test_able_host_meets_every_requirement(tmp_path: Path) -> None:
    assert unmet(tmp_path / "no" / "cache" / "yet", image_ready=False) == []


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("qemu-system-x86_64", "qemu-system-x86_64 missing (Debian package qemu-system-x86)"),
        ("mke2fs", "mke2fs missing (Debian package e2fsprogs)"),
        ("debugfs", "debugfs missing (Debian package e2fsprogs)"),
        ("setpriv", "setpriv missing (Debian package util-linux)"),
        ("debootstrap", "debootstrap missing (Debian package debootstrap)"),
        ("unshare", "unshare missing (Debian package util-linux)"),
        ("chroot", "chroot missing (Debian package coreutils)"),
    ],
)
def test_missing_program_is_named_with_its_package(
    program: str, reason: str, programs: Path, tmp_path: Path
) -> None:
    (programs / program).unlink()

    assert unmet(tmp_path, image_ready=False) == [reason]
    # With an image the requirements of building do not apply.
    assert unmet(tmp_path, image_ready=True) == ([reason] if program in TO_RUN else [])


def test_other_users_than_root_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    assert unmet(tmp_path, image_ready=True) == ["not root"]


def test_wrong_architecture_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")

    (reason,) = unmet(tmp_path, image_ready=True)
    assert reason == "not an x86_64 Linux host but linux on aarch64"


def test_missing_hatchling_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)

    (reason,) = unmet(tmp_path, image_ready=True)
    assert reason.startswith("hatchling missing (Python package, wanted by ")


@pytest.mark.parametrize(
    ("ready", "free", "reason"),
    [
        (False, 6.5, "no disk space: 6.5 GiB free at {place}, 7 GiB needed"),
        (True, 6.5, None),
        (True, 0.5, "no disk space: 0.5 GiB free at {place}, 1 GiB needed"),
    ],
)
def test_disk_space_for_building_is_more_than_for_running(
    ready: bool,
    free: float,
    reason: str | None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, int(free * (1 << 30))))

    found = unmet(tmp_path / "not" / "there", image_ready=ready)

    assert found == ([] if reason is None else [reason.format(place=tmp_path)])


def test_missing_mirror_is_named_only_without_an_image(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(requirements, "find_mirror", lambda: None)

    assert unmet(tmp_path, image_ready=True) == []
    (reason,) = unmet(tmp_path, image_ready=False)
    assert reason == "no Debian mirror in apt's configuration: set ARENATRACE_VM_MIRROR"


def test_all_reasons_are_named_at_once(
    monkeypatch: pytest.MonkeyPatch, programs: Path, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    (programs / "mke2fs").unlink()

    assert len(unmet(tmp_path, image_ready=True)) == 2


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, Mode.AUTO), ("", Mode.AUTO), ("off", Mode.OFF), ("require", Mode.REQUIRE)],
)
def test_mode_follows_the_environment(
    value: str | None, expected: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(requirements.ENVIRONMENT, raising=False)
    if value is not None:
        monkeypatch.setenv(requirements.ENVIRONMENT, value)

    assert mode() is expected


def test_unknown_mode_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(requirements.ENVIRONMENT, "maybe")

    with pytest.raises(ValueError, match="ARENATRACE_VM=maybe: must be require, auto or off"):
        mode()


@pytest.mark.parametrize(
    ("asked", "status", "reason"),
    [
        ("auto", 0, "no lab: qemu-system-x86_64 missing (Debian package qemu-system-x86)"),
        ("require", 1, "no lab: qemu-system-x86_64 missing (Debian package qemu-system-x86)"),
        ("off", 0, "ARENATRACE_VM=off"),
    ],
)
@pytest.mark.slow
def test_pytest_skips_or_fails_on_a_host_without_qemu(
    asked: str, status: int, reason: str, programs: Path, tmp_path: Path
) -> None:
    (programs / "qemu-system-x86_64").unlink()
    # Only PATH reaches the other process, not the patches above: it may name further reasons,
    # such as not being root.
    one_test = "tests/vm/test_lab.py::test_panic_is_a_lost_vm"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rsfE", one_test],
        cwd=CHECKOUT,
        env={
            **os.environ,
            requirements.ENVIRONMENT: asked,
            "ARENATRACE_VM_CACHE": str(tmp_path / "cache"),
            # A narrow terminal would cut the reason.
            "COLUMNS": "400",
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == status, done.stdout
    assert reason.removeprefix("no lab: ") in done.stdout
    assert ("1 skipped" in done.stdout) == (asked != "require")
    assert ("1 error" in done.stdout) == (asked == "require")


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        (
            "sources.list.d/debian.sources",
            "Types: deb\nURIs: http://m.invalid/debian-security http://m.invalid/debian/\n",
            "http://m.invalid/debian/",
        ),
        (
            "sources.list",
            (
                "# deb http://no.invalid/debian sid main\n"
                "deb-src http://no.invalid/debian sid main\n"
                "deb http://m.invalid/debian-security stable main\n"
                "deb [signed-by=/k] http://m.invalid/debian stable main\n"
            ),
            "http://m.invalid/debian",
        ),
        ("sources.list", "deb http://m.invalid/ubuntu stable main\n", None),
    ],
)
def test_mirror_is_the_first_archive_of_apts_configuration(
    file: str,
    text: str,
    expected: str | None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.delenv(mirror.ENVIRONMENT)
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(text)

    assert mirror.find_mirror(tmp_path) == expected


def test_mirror_of_the_environment_overrides_apt(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text("deb http://m.invalid/debian stable main\n")

    assert mirror.find_mirror(tmp_path) == MIRROR
