"""Cgroups of version 2 by path or id, as the probes can test them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from arenatrace.errors import UsageError

_MOUNTINFO = Path("/proc/self/mountinfo")


@dataclass(frozen=True)
class Cgroup:
    """A cgroup: ``path`` below the hierarchy's root, ``level`` its depth (the root has 0).

    ``id`` is the value of bpf_get_current_ancestor_cgroup_id(): the directory's inode number.
    """

    path: str
    id: int
    level: int


def find_cgroup(word: str, mountinfo: Path = _MOUNTINFO) -> Cgroup:
    """Return the cgroup named by ``word``: a directory, a path below the root, or an id.

    Raises UsageError if there is none, or no version 2 hierarchy that shows its real root.
    """
    root = _mount_point(mountinfo.read_text())
    if root is None:
        raise UsageError(
            "--cgroup: the root of the cgroup v2 hierarchy is not visible here",
            "mount it (mount -t cgroup2 none /sys/fs/cgroup), outside of a cgroup namespace",
        )
    directory = _by_id(root, int(word)) if word.isdecimal() else _by_path(root, word)
    if directory is None:
        below = sorted(each.name for each in root.iterdir() if each.is_dir())
        raise UsageError(
            f"--cgroup {word}: no such cgroup",
            f"below {root} there are: {', '.join(below[:20]) or 'none'}"
            + (", …" if len(below) > 20 else ""),
        )
    parts = directory.relative_to(root).parts
    return Cgroup("/" + "/".join(parts), directory.stat().st_ino, len(parts))


def _mount_point(mountinfo: str) -> Path | None:
    for line in mountinfo.splitlines():
        before, dash, after = line.partition(" - ")
        fields = before.split()
        if dash and after.split()[:1] == ["cgroup2"] and len(fields) > 4 and fields[3] == "/":
            return Path(fields[4].replace("\\040", " "))
    return None


def _by_path(root: Path, word: str) -> Path | None:
    for candidate in (Path(word), root / word.lstrip("/")):
        try:
            found = candidate.resolve(strict=True)
        except (OSError, ValueError):
            continue
        if found.is_dir() and found.is_relative_to(root.resolve()):
            return root / found.relative_to(root.resolve())
    return None


def _by_id(root: Path, number: int) -> Path | None:
    for directory, _directories, _files in os.walk(root):
        try:
            if Path(directory).stat().st_ino == number:
                return Path(directory)
        except OSError:
            continue  # removed since it was listed
    return None
