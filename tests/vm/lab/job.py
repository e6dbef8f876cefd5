"""The job disk: a command and its files for the guest, and the results of the command."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.vm.lab.errors import LabError

IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc")


@dataclass(frozen=True)
class Job:
    """Contents of a job disk.

    Attributes:
        command: a bash command line; None starts an interactive shell.
        site: the unpacked project, or None.
        workload: directory that appears as /job/workload, if it exists.
        files: files and directories that appear in /job/files under their own names.
        disk_mib: size of the disk in MiB; it is sparse.
        journal: create a journal, so that the file system survives a crash of the guest.
    """

    command: str | None
    site: Path | None = None
    workload: Path | None = None
    files: tuple[Path, ...] = ()
    disk_mib: int = 2048
    journal: bool = False


def command_line(command: str | Sequence[str]) -> str:
    """Return the bash line for a command: a string unchanged, a list quoted word by word."""
    return command if isinstance(command, str) else shlex.join(command)


def write_disk(job: Job, disk: Path, scratch: Path) -> None:
    """Write the job disk.

    Args:
        job: contents.
        disk: the image file to create.
        scratch: a directory to create; the caller removes it.

    Raises:
        LabError: a file is missing, two have one name, or mke2fs failed.
    """
    scratch.mkdir()
    (scratch / "out").mkdir()
    (scratch / "files").mkdir()
    if job.command is not None:
        (scratch / "command").write_text(f"{job.command}\n")
    for tree, name in ((job.site, "site"), (job.workload, "workload")):
        if tree is not None and tree.is_dir():
            ignore = None if tree == job.site else IGNORED  # the site is compiled byte code
            shutil.copytree(tree, scratch / name, symlinks=True, ignore=ignore)
    for file in job.files:
        _copy(file, scratch / "files" / file.name)
    # Initialised lazily and mostly without a journal: the disk is used by one guest only.
    lazy = [
        "-O",
        "has_journal" if job.journal else "^has_journal",
        "-E",
        "lazy_itable_init=1,root_owner=0:0",
    ]
    _tool(["mke2fs", "-q", "-t", "ext4", *lazy, "-d", scratch, "-F", disk, f"{job.disk_mib}M"])


def _copy(source: Path, target: Path) -> None:
    if target.exists():
        raise LabError(f"two files for the guest have the name {target.name}")
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, ignore=IGNORED)
    elif source.is_file():
        shutil.copy2(source, target)
    else:
        raise LabError(f"no such file for the guest: {source}")


def repair(disk: Path) -> None:
    """Replay the journal of a disk after its guest crashed.

    Raises:
        LabError: e2fsck failed.
    """
    argv = ["e2fsck", "-f", "-y", str(disk)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    # 1: errors were corrected
    if done.returncode not in (0, 1):
        raise LabError(f"e2fsck ended with status {done.returncode}: {done.stdout.strip()}")


def read_results(disk: Path, target: Path) -> None:
    """Copy the contents of $LAB_OUT into `target`, without mounting the disk.

    Raises:
        LabError: debugfs failed or reported a file that it could not copy.
    """
    target.mkdir(parents=True, exist_ok=True)
    landing = disk.parent / "results"
    landing.mkdir()
    # debugfs has its own quoting rules: run it in the target, so that no path needs quotes.
    stderr = _tool(["debugfs", "-R", "rdump /out .", disk], cwd=landing)
    complaints = [line for line in stderr.splitlines() if not line.startswith("debugfs 1.")]
    if complaints:
        raise LabError(f"reading the results back: {complaints[0]}")
    for path in (landing / "out").iterdir():
        shutil.move(path, target / path.name)


def _tool(argv: Sequence[str | Path], cwd: Path | None = None) -> str:
    """Run a tool of e2fsprogs and return its stderr."""
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(f"{argv[0]} ended with status {done.returncode}: {done.stderr.strip()}")
    return done.stderr
