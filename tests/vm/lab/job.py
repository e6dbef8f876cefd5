"""The job disk: carries a command and its files into the guest, and results out."""

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
    """What one run of the guest is for.

    Attributes:
        command: a bash command line; None starts an interactive shell.
        site: the unpacked project, or None to leave it out.
        workload: directory to be seen as /job/workload, if it exists.
        files: files and directories to be seen in /job/files under their own names.
        disk_mib: size of the disk in MiB; it is sparse.
        journal: give its file system one, so that it outlives a crash of the guest.
    """

    command: str | None
    site: Path | None = None
    workload: Path | None = None
    files: tuple[Path, ...] = ()
    disk_mib: int = 2048
    journal: bool = False


def command_line(command: str | Sequence[str]) -> str:
    """Returns the bash line for a command: a string as it is, a list quoted word by word."""
    return command if isinstance(command, str) else shlex.join(command)


def write_disk(job: Job, disk: Path, scratch: Path) -> None:
    """Writes the job disk.

    Args:
        job: what goes on it.
        disk: the image file to create.
        scratch: a directory that does not exist yet, left for the caller to remove.

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
    # Lazy, and mostly without a journal: the disk lives as long as one guest.
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
    """Replays the journal of a disk whose guest crashed, as its next boot would.

    Raises:
        LabError: e2fsck could not.
    """
    argv = ["e2fsck", "-f", "-y", str(disk)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    # 1: errors were corrected
    if done.returncode not in (0, 1):
        raise LabError(f"e2fsck ended with status {done.returncode}: {done.stdout.strip()}")


def read_results(disk: Path, target: Path) -> None:
    """Copies what the command left in $LAB_OUT into `target`, without mounting the disk.

    Raises:
        LabError: debugfs failed, or it complained about a file.
    """
    target.mkdir(parents=True, exist_ok=True)
    landing = disk.parent / "results"
    landing.mkdir()
    # debugfs has quoting rules of its own: run it there, so that no path is quoted.
    said = _tool(["debugfs", "-R", "rdump /out .", disk], cwd=landing)
    complaints = [line for line in said.splitlines() if not line.startswith("debugfs 1.")]
    if complaints:
        raise LabError(f"reading the results back: {complaints[0]}")
    for path in (landing / "out").iterdir():
        shutil.move(path, target / path.name)


def _tool(argv: Sequence[str | Path], cwd: Path | None = None) -> str:
    """Runs a tool of e2fsprogs and returns what it wrote to stderr."""
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(f"{argv[0]} ended with status {done.returncode}: {done.stderr.strip()}")
    return done.stderr
