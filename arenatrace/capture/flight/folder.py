"""The folder of a flight recorder: sealed windows, and the present segments.

FOLDER/fault-20261121-103000.atrace    a sealed window, a trace like any other
FOLDER/.segments/000042.atrace         one of the last segments, while recording
FOLDER/.segments/lock                  locked by the recorder
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import time
from pathlib import Path

from arenatrace.errors import ArenatraceError, UsageError
from arenatrace.trace.join_segments import join
from arenatrace.trace.meta import META_NAME

SEGMENTS = ".segments"
_LOCK = "lock"

#: Warning in a window made from the segments of a killed recorder.
INTERRUPTED = "the recorder was killed, or the machine went down"


class FlightFolder:
    """An open folder, locked against a second recorder.

    Raises UsageError if ``path`` is something else, is in use, or cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        check_folder(path)
        self._segments = path / SEGMENTS
        try:
            path.mkdir(mode=0o700, exist_ok=True)
            self._segments.mkdir(mode=0o700, exist_ok=True)
            self._lock = os.open(
                self._segments / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600
            )
        except OSError as error:
            raise UsageError(
                f"{path}: cannot be used: {error.strerror}", "choose another folder with -o"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise UsageError(
                f"{path}: another recorder is using it", "choose another folder with -o"
            ) from error

    def close(self) -> None:
        """Unlock the folder."""
        os.close(self._lock)

    def segment(self, number: int) -> Path:
        """Return the path of segment ``number``."""
        return self._segments / f"{number:09d}.atrace"

    def window(self, wall_ns: int, why: str = "fault") -> Path:
        """Return a free name for a window about an event at ``wall_ns``, UNIX time in ns."""
        stem = time.strftime(f"{why}-%Y%m%d-%H%M%S", time.localtime(wall_ns / 1e9))
        return self.free_name(self.path / f"{stem}.atrace")

    @staticmethod
    def free_name(wanted: Path) -> Path:
        """Return ``wanted``, with a number appended if the name is taken."""
        path, number = wanted, 2
        while path.exists() or path.is_symlink():
            path = wanted.with_name(f"{wanted.stem}-{number}{wanted.suffix}")
            number += 1
        return path

    def hidden(self, target: Path) -> Path:
        """Return the hidden path where ``target`` is built before it is renamed."""
        return self._segments / f"new-{target.name}"

    def windows(self) -> list[Path]:
        """Return the sealed windows, oldest first."""
        found = []
        for path in self.path.glob("*.atrace"):
            # a user may remove one at any time
            with contextlib.suppress(FileNotFoundError):
                if not path.is_symlink():
                    found.append((path.stat().st_mtime_ns, path))
        return [path for _, path in sorted(found)]

    def salvage(self) -> Path | None:
        """Seal the segments of a killed recorder; return None if there are none.

        If that fails, the segments become windows of their own, unsealed.
        """
        for path in self._segments.glob("new-*.atrace"):
            remove(path)
        left = sorted(self._segments.glob("0*.atrace"))
        segments = [path for path in left if (path / META_NAME).exists()]
        if not segments:
            return None
        target = self.window(segments[-1].stat().st_mtime_ns, "interrupted")
        try:
            join(segments, self.hidden(target), (INTERRUPTED,))
            self.hidden(target).rename(target)
        except (ArenatraceError, OSError):
            remove(self.hidden(target))
            for path in segments:
                path.rename(self.window(path.stat().st_mtime_ns, "interrupted"))
        for path in left:
            remove(path)
        return target


def check_folder(path: Path) -> None:
    """Raise UsageError unless ``path`` is a flight recorder's folder, empty, or missing."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        if path.parent.is_dir():
            return
        raise UsageError(
            f"{path}: the directory {path.parent} does not exist", f"mkdir -p {path.parent}"
        ) from None
    hint = "choose another folder with -o, or move it away"
    if not stat.S_ISDIR(mode):
        raise UsageError(f"{path}: exists already and is no directory", hint)
    segments = path / SEGMENTS
    if segments.is_symlink() or (any(path.iterdir()) and not segments.is_dir()):
        raise UsageError(f"{path}: exists already and is no flight recorder's folder", hint)
    if path.stat().st_uid not in (os.geteuid(), int(os.environ.get("SUDO_UID", "0") or 0)):
        raise UsageError(f"{path}: belongs to someone else", hint)


def size_of(path: Path) -> int:
    """Return the bytes of the files in directory ``path``; 0 if it is gone."""
    try:
        return sum(entry.stat(follow_symlinks=False).st_size for entry in os.scandir(path))
    except OSError:
        return 0


def remove(path: Path) -> None:
    """Remove a trace directory; files that cannot be removed stay."""
    shutil.rmtree(path, ignore_errors=True)
