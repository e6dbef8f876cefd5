"""Tests of the lab itself: a guest reports what happened in it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.vm.lab.errors import BuildError, KernelUnavailable, LabError, VmLost
from tests.vm.lab.lab import CHECKOUT, Lab
from tests.vm.lab.machine import QEMU

pytestmark = pytest.mark.vm

BOOT = 90.0  # seconds, generous for an emulated boot on a busy host

# Leaves results with awkward names and contents, and a copy of an input.
LEAVE_RESULTS = r"""
printf 'to stdout\n'
printf 'to stderr\n' >&2
cp "$LAB_FILES/blob.bin" "$LAB_OUT/blob.bin"
mkdir "$LAB_OUT/sub dir"
printf 'x' > "$LAB_OUT/sub dir/a name"
: > "$LAB_OUT/empty"
python3 -c 'import bcc'
for at in /sys/kernel/tracing/trace /sys/kernel/debug/tracing /sys/fs/bpf \
    /sys/fs/cgroup/cgroup.procs /sys/kernel/btf/vmlinux; do
    [ -e "$at" ] || echo "missing: $at"
done
ip link show up dev lo | grep -q LOOPBACK || echo "lo is down"
nproc
[ "$(files/tool/tool)" = "$(uname -r)" ] || echo "not built for this kernel"
exit 7
"""


def test_failed_command_reports_status_output_and_files(lab: Lab, tmp_path: Path) -> None:
    blob = tmp_path / "blob.bin"
    blob.write_bytes(bytes(range(256)) * 4099 + b"\r\n\x00tail")

    tool = tmp_path / "tool"
    tool.mkdir()
    (tool / "tool.c").write_text("#include <stdio.h>\nint main(void) { puts(KERNEL); }\n")
    built = lab.prepare(tool, r"""cc -DKERNEL="\"$LAB_KERNEL\"" -o tool tool.c""")
    assert [path.name for path in tool.iterdir()] == ["tool.c"]

    result = lab.run(LEAVE_RESULTS, files=[blob, built], timeout=BOOT)

    assert result.returncode == 7
    assert result.stdout == "to stdout\n2\n"
    assert result.stderr == "to stderr\n"
    assert (result.out_dir / "blob.bin").read_bytes() == blob.read_bytes()
    assert (result.out_dir / "sub dir" / "a name").read_text() == "x"
    assert (result.out_dir / "empty").read_bytes() == b""


def test_arguments_arrive_unchanged_and_the_project_is_installed(lab: Lab) -> None:
    words = ["a b", "$HOME", "'", '"', "*", "", "\\n"]
    code = (
        "import sys, arenatrace; print(sys.argv[1:]); print(arenatrace.__file__); print(sys.prefix)"
    )

    result = lab.run(["python", "-c", code, *words], smp=1, timeout=BOOT)

    assert result.stderr == ""
    assert result.returncode == 0
    seen, where, prefix = result.stdout.splitlines()
    assert seen == repr(words)
    assert where == "/job/site/arenatrace/__init__.py"
    assert prefix == "/opt/venv"


def test_background_processes_do_not_block_the_results(lab: Lab) -> None:
    result = lab.run(
        "(cd $LAB_OUT; exec sleep 1000 > open) & echo saved > $LAB_OUT/file", timeout=BOOT
    )

    assert result.returncode == 0
    assert (result.out_dir / "file").read_text() == "saved\n"


def test_panic_is_a_lost_vm(lab: Lab) -> None:
    with pytest.raises(VmLost) as caught:
        lab.run("echo before; echo c > /proc/sysrq-trigger; echo after", timeout=BOOT)

    assert caught.value.reason == "Kernel panic - not syncing: sysrq triggered crash"
    assert caught.value.stdout == "before\n"
    assert "sysrq_handle_crash" in caught.value.console
    assert "Kernel Offset: " in str(caught.value)


def test_timeout_is_a_lost_vm(lab: Lab) -> None:
    before = time.monotonic()
    # other tests may have started helpers of Python, such as a resource tracker
    children = _children(os.getpid())

    with pytest.raises(VmLost) as caught:
        lab.run("sleep 1000", timeout=3)

    assert caught.value.reason == "no end after 3 s"
    assert time.monotonic() - before < BOOT
    assert _children(os.getpid()) == children


def test_failed_preparation_reports_its_output_and_is_not_cached(lab: Lab, tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(BuildError, match="no rule for this"):
            lab.prepare(tmp_path, "echo no rule for this >&2; touch half; exit 2")


def test_missing_file_is_named_before_anything_boots(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"no such file for the guest: .*/absent"):
        lab.run("true", files=[tmp_path / "absent"])


def test_unavailable_kernel_is_named(lab: Lab) -> None:
    with pytest.raises(KernelUnavailable, match=r"no kernel 1\.0: not among the packages of"):
        lab.run("true", kernel="1.0")


def test_qemu_dies_with_its_parent(lab: Lab) -> None:
    command = [sys.executable, "-m", "tests.vm.lab", "run", "--no-project", "--"]
    with subprocess.Popen(
        [*command, "sh", "-c", "echo ready; sleep 1000"], cwd=CHECKOUT, stdout=subprocess.PIPE
    ) as parent:
        try:
            # The line arrives while the command runs: output is live.
            assert parent.stdout is not None
            assert select.select([parent.stdout], [], [], BOOT)[0]
            assert parent.stdout.readline() == b"ready\n"
            (qemu,) = _children(parent.pid)
            assert Path(f"/proc/{qemu}/comm").read_text().strip() == QEMU[:15]
        finally:
            parent.send_signal(signal.SIGKILL)

    assert _gone_within(qemu, seconds=5), f"QEMU (pid {qemu}) outlived its parent"


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def _gone_within(pid: int, *, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":  # dead, not yet waited for by its new parent
            return True
        time.sleep(0.05)
    return False
