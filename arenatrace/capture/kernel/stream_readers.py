"""Processes that may read the streams in which the kernel reports arena faults.

Reading a program's stream consumes it: each of two readers gets a part. The recorder reads none,
but a report read by one process is missing for the others. The kernel does not say who reads. This
module finds processes that have programs open, and ``bpftool prog tracelog``. A process that opens
a program by id only for a read is not seen between reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True)
class StreamReader:
    """A process that has BPF programs open; ``tracelog``: it is a stream reader."""

    pid: int
    comm: str
    programs: tuple[int, ...]
    tracelog: bool


def stream_readers(proc: Path = _PROC) -> list[StreamReader]:
    """Return processes that read a stream or could, as far as this user may see; not our own."""
    found = []
    for entry in proc.iterdir():
        if not entry.name.isdecimal() or entry.resolve() == (proc / "self").resolve():
            continue
        words = _read(entry / "cmdline").split("\0")
        tracelog = words[0].rsplit("/", 1)[-1] == "bpftool" and "tracelog" in words
        programs = _programs(entry / "fdinfo")
        if programs or tracelog:
            comm = _read(entry / "comm").rstrip("\n")
            found.append(StreamReader(int(entry.name), comm, programs, tracelog))
    return sorted(found, key=lambda reader: reader.pid)


def _programs(fdinfo: Path) -> tuple[int, ...]:
    ids: set[int] = set()
    try:
        entries = list(fdinfo.iterdir())
    except OSError:
        return ()  # gone, or of another user
    for entry in entries:
        # links have a prog_id too, but cannot be read from
        lines = dict(
            line.split(":\t", 1) for line in _read(entry).splitlines() if line.count(":\t") == 1
        )
        if (
            "prog_type" in lines
            and "link_type" not in lines
            and lines.get("prog_id", "").isdecimal()
        ):
            ids.add(int(lines["prog_id"]))
    return tuple(sorted(ids))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="backslashreplace")
    except OSError:
        return ""
