"""Several traces looked at together: which there are, and of which host and boot each is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from arenatrace.errors import ArenatraceError, TraceError
from arenatrace.trace.meta import META_NAME, Meta, read_meta


@dataclass(frozen=True)
class Member:
    """A trace of a collection, as far as its meta.json tells."""

    path: Path
    meta: Meta


@dataclass(frozen=True)
class Boot:
    """The traces of one boot of one host, in the order they began; their times are of one clock.

    A trace that does not say which boot it is of is on its own.
    """

    members: tuple[Member, ...]

    @property
    def meta(self) -> Meta:
        """What the first trace says; host, boot and architecture are the same in all."""
        return self.members[0].meta


@dataclass(frozen=True)
class Unreadable:
    """A path that is no trace, or one that cannot be read, and why."""

    path: Path
    error: ArenatraceError


@dataclass
class Collection:
    """Traces by boot, the first recorded first; ``notices`` is what a user must be told."""

    boots: tuple[Boot, ...] = ()
    unreadable: list[Unreadable] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    def members(self) -> list[Member]:
        """All traces, boot by boot."""
        return [member for boot in self.boots for member in boot.members]


def collect(paths: Sequence[Path]) -> Collection:
    """The traces that ``paths`` name: trace directories, and folders of such directories.

    A trace that is named twice, or is a copy of another, counts once, and a notice says so.
    Raises TraceError, that of the first path, if nothing can be read.
    """
    found = Collection()
    members: dict[Path, Member] = {}
    for path in _traces(paths, found):
        real = path.resolve()
        if real in members:
            found.notices.append(f"{path}: given twice, counted once")
            continue
        try:
            members[real] = Member(path, read_meta(path))
        except ArenatraceError as error:
            found.unreadable.append(Unreadable(path, error))
    if not members:
        raise found.unreadable[0].error
    found.boots = _by_boot(_without_copies(members.values(), found))
    return found


def trace_directories(path: Path) -> list[Path]:
    """``path`` itself if it is a trace, or the traces in it, by name; ``path`` if it has none.

    Raises TraceError if it is no directory, OSError if it cannot be read.
    """
    if not path.exists():
        raise TraceError(f"{path}: no such trace", "record one: arenatrace record -o NAME.atrace")
    if not path.is_dir():
        raise TraceError(
            f"{path}: not a trace, a trace is a directory",
            "text of a stream or of dmesg goes through: arenatrace import FILE",
        )
    if (path / META_NAME).exists():
        return [path]
    return sorted(found.parent for found in path.glob(f"*/{META_NAME}")) or [path]


def _traces(paths: Iterable[Path], found: Collection) -> Iterator[Path]:
    """The trace directories of ``paths``; what is none becomes unreadable."""
    for path in paths:
        try:
            yield from trace_directories(path)
        except (OSError, ValueError) as error:
            # ValueError: a path with a NUL byte in it.
            reason = getattr(error, "strerror", None) or "cannot be read"
            found.unreadable.append(Unreadable(path, TraceError(f"{path}: {reason}")))
        except TraceError as error:
            found.unreadable.append(Unreadable(path, error))


def _without_copies(members: Iterable[Member], found: Collection) -> list[Member]:
    """The members whose sealed files are not, byte for byte, those of an earlier one."""
    kept: list[Member] = []
    seen: dict[tuple[object, ...], Path] = {}
    for member in members:
        meta = member.meta
        identity = (meta.boot_id, meta.start_ts_ns, tuple(sorted(meta.checksums.items())))
        if meta.checksums and identity in seen:
            found.notices.append(f"{member.path}: a copy of {seen[identity]}, counted once")
            continue
        seen[identity] = member.path
        kept.append(member)
    return kept


def _by_boot(members: Iterable[Member]) -> tuple[Boot, ...]:
    boots: dict[tuple[object, ...], list[Member]] = {}
    for member in members:
        meta = member.meta
        own = str(member.path) if meta.boot_id is None else None
        boots.setdefault((meta.hostname, meta.arch, meta.boot_id, own), []).append(member)
    grouped = [
        Boot(tuple(sorted(of_boot, key=lambda member: member.meta.start_ts_ns)))
        for of_boot in boots.values()
    ]
    return tuple(sorted(grouped, key=lambda boot: boot.meta.start_ts_ns + boot.meta.wall_offset_ns))
