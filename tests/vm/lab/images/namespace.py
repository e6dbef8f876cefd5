"""Run build commands whose mounts and processes end with them.

Each command gets its own mount and PID namespace. When it ends, or when this process is killed,
the kernel kills its processes and drops its mounts: an interrupted build can be removed without
following a stray mount.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import IO

from tests.vm.lab.errors import BuildError

IN_ROOT = Path(__file__).parent / "host" / "in-root.sh"

# PR_SET_PDEATHSIG is tied to the parent *thread*: call and wait in one thread.
# setpriv(1) sets it, rather than a preexec_fn, because Python warns about
# forking Python code in a process that has threads (polars starts some).
DIE_WITH_PARENT = ("setpriv", "--pdeathsig", "KILL", "--")

PRIVATE = (
    "unshare",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child",
    "--propagation",
    "private",
)

CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
PASSED_ON = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy")


def build_environment() -> dict[str, str]:
    """Return the environment of a build command: PATH, pip's settings, proxies and the CA bundle.

    PYTHONPATH and VIRTUAL_ENV of the caller are left out.
    """
    passed = {
        name: value
        for name, value in os.environ.items()
        if name.startswith("PIP_") or name.lower() in PASSED_ON
    }
    bundle = os.environ.get("PIP_CERT") or os.environ.get("SSL_CERT_FILE") or str(CA_BUNDLE)
    path = os.environ.get("PATH", os.defpath)
    return passed | {
        "PATH": f"{path}:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/tmp",  # noqa: S108 - inside the build's own namespace
        "LC_ALL": "C.UTF-8",
        "DEBIAN_FRONTEND": "noninteractive",
        "LAB_CA_BUNDLE": bundle,
    }


def run_private(
    argv: list[str], log: Path, *, stdin: IO[bytes] | None = None, stdout: IO[bytes] | None = None
) -> None:
    """Run a build command in its own namespaces and append its output to a log.

    Args:
        argv: the command.
        log: file that receives stderr, and stdout unless that is given.
        stdin: open file for the command to read; nothing by default.
        stdout: open file for the command's stdout.

    Raises:
        BuildError: the command failed; the message shows the end of its output.
    """
    with log.open("ab") as sink:
        start = sink.seek(0, os.SEEK_END)
        done = subprocess.run(
            [*DIE_WITH_PARENT, *PRIVATE, *argv],
            stdin=stdin or subprocess.DEVNULL,
            stdout=stdout or sink,
            stderr=sink,
            env=build_environment(),
            check=False,
        )
    if done.returncode != 0:
        tail = log.read_bytes()[start:].decode(errors="replace").strip().splitlines()[-15:]
        raise BuildError(
            f"`{argv[0]}` ended with status {done.returncode} (complete log: {log}):\n"
            + "\n".join(tail)
        )


def in_root(
    root: Path,
    argv: list[str],
    *,
    over: Path | None = None,
    writable: Path | None = None,
    mount_at: str = "",
) -> list[str]:
    """Return the command that runs `argv` inside `root`, for `run_private`.

    `root`, with the tree `over` laid over it, is read-only; `writable`, mounted at `mount_at`,
    is not.
    """
    return [str(IN_ROOT), str(root), str(over or ""), str(writable or ""), mount_at, *argv]
