"""Refusals of record: one error line and a hint, the documented status, nothing overwritten."""

from __future__ import annotations

from pathlib import Path

import pytest

from arenatrace.trace.reader import open_trace
from tests.vm.boots import CommandsRun

# The paths are the guest's.
# ruff: noqa: S108

#: Case, exit status, part of the error line, part of the hint.
_CASES = [
    ("not-root", 5, "CAP_BPF and CAP_PERFMON", "sudo arenatrace record"),
    ("one-capability", 5, "lacks CAP_PERFMON", "sudo arenatrace record"),
    ("no-bcc", 5, "module bcc cannot be imported", "python3-bpfcc"),
    ("no-headers", 5, "headers of the running kernel are missing", "apt install linux-headers-"),
    ("no-btf", 5, "no BTF", "CONFIG_DEBUG_INFO_BTF"),
    ("no-handler", 5, "bpf_arena_handle_page_fault", "7.2"),
    ("exists", 2, "/tmp/there: exists already", "-o"),
    ("no-parent", 2, "/tmp/nowhere does not exist", "mkdir -p /tmp/nowhere"),
    ("read-only", 2, "/tmp/ro cannot be written to", "-o"),
    ("no-command", 2, "cannot start /tmp/no-such-program", "after --"),
    ("odd-ring", 2, "--ring-size: 3M is not a power of two", "use 2M or 4M"),
    ("huge-ring", 2, "--ring-size: 4G is more than a ring can have", "at most 2G"),
    ("tiny-notes-ring", 2, "--notes-ring-size: 2K is less than a page", "at least 4K"),
    ("no-memory", 5, "do not fit into this machine's memory", "--ring-size"),
    ("small-cgroup", 5, "do not fit into the limit of cgroup /small", "--ring-size"),
    ("kernel-refuses", 5, "the kernel refused the ring buffers (events 512M", "--ring-size"),
]


@pytest.fixture(scope="module")
def out(commands: CommandsRun) -> Path:
    """The directory with the output of every case."""
    return commands.out("refusals")


@pytest.mark.parametrize(("case", "status", "error", "hint"), _CASES)
def test_refusal_is_one_line_and_a_hint(
    out: Path, case: str, status: int, error: str, hint: str
) -> None:
    stderr = (out / f"{case}.err").read_text()
    narration = "arenatrace: compiling and attaching probes"
    lines = [line for line in stderr.splitlines() if line not in ("", narration)]
    assert int((out / f"{case}.rc").read_text()) == status, stderr
    assert (out / f"{case}.out").read_text() == ""
    assert len(lines) == 2, stderr
    assert lines[0].startswith("arenatrace: error: ")
    assert error in lines[0]
    assert hint in lines[1]


def test_duration_of_zero_is_a_usage_error(out: Path) -> None:
    assert int((out / "no-duration.rc").read_text()) == 2
    assert "--duration" in (out / "no-duration.err").read_text()


def test_refusals_create_and_overwrite_nothing(out: Path) -> None:
    assert (out / "left").read_text() == "mine\nfile\n"


def test_command_killed_by_a_signal_is_reported_and_the_trace_sealed(out: Path) -> None:
    assert int((out / "killed-command.rc").read_text()) == 0
    assert "was ended by signal 9" in (out / "killed-command.err").read_text()
    trace = open_trace(out / "killed.atrace")
    assert trace.meta.sealed
    assert trace.meta.command_status == -9


def test_interrupt_seals_the_trace(out: Path) -> None:
    stderr = (out / "interrupted.err").read_text()
    assert int((out / "interrupted.rc").read_text()) == 0, stderr
    assert "nothing lost" in stderr
    assert open_trace(out / "interrupted.atrace").meta.sealed
    assert (out / "modes").read_text().split() == ["700", "600"]
