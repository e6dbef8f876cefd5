"""The lab with each kernel: it boots, BCC compiles against its headers, a module loads."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.vm.lab.errors import KernelUnavailable
from tests.vm.lab.images.kernel_choice import candidates, is_meant
from tests.vm.lab.lab import WORKLOAD, Lab
from tests.vm.lab.skipping import need_kernel

#: Beginnings of the versions that the toolkit is made for.
KERNELS = ("6.12", "7.2", "7.3")
BOOT = 240.0  # seconds: an emulated clang is slow

_BUILD = "make module BUILD=/job/build KVER=$LAB_KERNEL"

# Compiled against the kernel's headers in the guest, attached through its BTF, and run.
_PROGRAM = """\
import os
from pathlib import Path
import bcc
text = '''
#include <linux/bpf.h>
#include <linux/sched.h>
BPF_ARRAY(seen, u64, 1);
KFUNC_PROBE(vfs_write)
{
    if (bpf_get_current_pid_tgid() >> 32 == PID)
        seen.increment(0);
    return 0;
}
'''
bpf = bcc.BPF(text=text, cflags=[f"-DPID={os.getpid()}"])
os.write(os.open("/dev/null", os.O_WRONLY), b"x")
print(bpf["seen"][0].value)
"""
_JOB = """\
set -e
uname -r
insmod files/workload/build/arenapoke.ko
bpftool btf dump file /sys/kernel/btf/arenapoke | grep -c "FUNC 'arenapoke_\\(read\\|write\\)"
python files/program.py
"""


@pytest.mark.parametrize("kernel", KERNELS)
def test_guest_boots_compiles_and_loads_a_module(lab: Lab, kernel: str, tmp_path: Path) -> None:
    need_kernel(lab, kernel)
    built = lab.prepare(WORKLOAD, _BUILD, kernel=kernel)
    program = tmp_path / "program.py"
    program.write_text(_PROGRAM)

    result = lab.run(_JOB, files=[built, program], kernel=kernel, timeout=BOOT)

    assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"
    release, kfuncs, seen = result.stdout.splitlines()
    print(f"{kernel}: {release}, {result.seconds:.0f} s")
    assert is_meant(release, kernel)
    assert kfuncs == "4"
    assert seen == "1"


def test_a_kernel_that_is_not_to_be_had_is_named(lab: Lab) -> None:
    with pytest.raises(KernelUnavailable, match=r"no kernel 1\.0: not among the packages of"):
        lab.run("true", kernel="1.0")


def test_a_version_means_what_it_begins() -> None:
    assert is_meant("7.3-cloud-amd64", "7.3")
    assert is_meant("7.3.4+deb13-cloud-amd64", "7.3")
    assert is_meant("7.2.13+deb14-cloud-amd64", "7.2.13+deb14-cloud-amd64")
    assert is_meant("7.2.13+deb14-cloud-amd64", "")
    assert not is_meant("7.30-cloud-amd64", "7.3")
    assert not is_meant("6.12.1-cloud-amd64", "7")


def test_the_newest_kernel_with_headers_comes_first() -> None:
    packages = [
        *("linux-image-7.3-cloud-amd64", "linux-headers-7.3-cloud-amd64"),
        *("linux-image-7.3.9-cloud-amd64", "linux-headers-7.3.9-cloud-amd64"),
        *("linux-image-7.3.10-cloud-amd64", "linux-headers-7.3.10-cloud-amd64"),
        *("linux-image-7.3.11-cloud-amd64", "linux-image-7.3.11-cloud-amd64-dbg"),
        *("linux-image-7.3.12-rt-amd64", "linux-headers-7.3.12-rt-amd64"),
        *("linux-image-cloud-amd64", "linux-headers-cloud-amd64"),
    ]

    assert candidates(packages, "7.3") == [
        "7.3.10-cloud-amd64",
        "7.3.9-cloud-amd64",
        "7.3-cloud-amd64",
    ]
    assert candidates(packages, "7.4") == []
