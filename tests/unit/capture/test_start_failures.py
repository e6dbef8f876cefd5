"""Outputs and commands that are refused before anything is compiled."""

from __future__ import annotations

from pathlib import Path

import pytest

from arenatrace.capture.process.command import check_command
from arenatrace.capture.session import check_output
from arenatrace.errors import UsageError


def test_existing_output_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="exists already") as caught:
        check_output(tmp_path)
    assert "-o" in caught.value.hint


def test_dangling_link_is_refused(tmp_path: Path) -> None:
    link = tmp_path / "link.atrace"
    link.symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="exists already"):
        check_output(link)


@pytest.mark.parametrize("parent", ["none", "file"])
def test_output_without_a_directory_is_refused(tmp_path: Path, parent: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="does not exist") as caught:
        check_output(tmp_path / parent / "run.atrace")
    assert caught.value.hint == f"mkdir -p {tmp_path / parent}"


def test_unwritable_directory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, _mode: path != tmp_path)
    with pytest.raises(UsageError, match="cannot be written to"):
        check_output(tmp_path / "run.atrace")


def test_missing_command_is_refused() -> None:
    with pytest.raises(UsageError, match="cannot start no-such-command: no such program"):
        check_command(("no-such-command", "-x"))


def test_unexecutable_command_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot start the command: its name is empty"):
        check_command(("",))
    with pytest.raises(UsageError, match="it is a directory"):
        check_command((str(tmp_path),))
    script = tmp_path / "run"
    script.write_text("true")
    script.chmod(0o644)
    with pytest.raises(UsageError, match=f"cannot start {script}: it is not executable") as caught:
        check_command((str(script),))
    assert caught.value.hint.startswith(f"chmod +x {script}")


@pytest.mark.parametrize("command", [(), ("sh",), ("/bin/sh", "-c", "x")])
def test_existing_command_is_accepted(command: tuple[str, ...]) -> None:
    check_command(command)


def test_new_output_name_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_output(tmp_path / "run.atrace")
    monkeypatch.chdir(tmp_path)
    check_output(Path("run.atrace"))
