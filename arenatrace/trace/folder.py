"""Collections of traces, grouped by host and boot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from arenatrace.errors import ArenatraceError, TraceError
from arenatrace.trace.meta import META_NAME, Meta, read_meta


@dataclass(frozen=True)
class Member:
    """Trace of a collection: its path and its meta.json."""

    path: Path
    meta: Meta


@dataclass(frozen=True)
class Boot:
    """Traces of one boot of one host, by start time. Their times are of one clock.

    A trace without a boot id is alone in its boot.
    """

    members: tuple[Member, ...]

    @property
    def meta(self) -> Meta:
        """The meta.json of the first trace; host, boot and architecture are the same in all."""
        return self.members[0].meta


@dataclass(frozen=True)
class Unreadable:
    """Path that is not a readable trace, and the error."""

    path: Path
    error: ArenatraceError


@dataclass
class Collection:
    """Traces by boot, earliest first; ``warnings`` are messages for the user."""

    boots: tuple[Boot, ...] = ()
    unreadable: list[Unreadable] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def members(self) -> list[Member]:
        """Return all traces, boot by boot."""
        return [member for boot in self.boots for member in boot.members]


def collect(paths: Sequence[Path]) -> Collection:
    """Collect the traces at ``paths``: trace directories and folders of trace directories.

    A trace that is given twice, or is a copy of another, counts once, with a warning. Raises the
    TraceError of the first path if no trace is readable.
    """
    found = Collection()
    members: dict[Path, Member] = {}
    for path in _traces(paths, found):
        real = path.resolve()
        if real in members:
            found.warnings.append(f"{path}: given twice, counted once")
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
    """Return the traces in the folder ``path`` by name; ``[path]`` if it is a trace or has none.

    Raises TraceError if ``path`` is not a directory, OSError if it cannot be read.
    """
    if not path.exists():
        raise TraceError(f"{path}: no such trace", "record one: arenatrace record -o NAME.atrace")
    if not path.is_dir():
        raise TraceError(
            f"{path}: not a trace: a trace is a directory",
            "make a trace of kernel text: arenatrace import FILE",
        )
    if (path / META_NAME).exists():
        return [path]
    return sorted(found.parent for found in path.glob(f"*/{META_NAME}")) or [path]


def _traces(paths: Iterable[Path], found: Collection) -> Iterator[Path]:
    """Yield the trace directories at ``paths``; other paths are added to ``unreadable``."""
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
    """Return the members without copies: sealed traces with equal checksums of all files."""
    distinct: list[Member] = []
    seen: dict[tuple[object, ...], Path] = {}
    for member in members:
        meta = member.meta
        identity = (meta.boot_id, meta.start_ts_ns, tuple(sorted(meta.checksums.items())))
        if meta.checksums and identity in seen:
            found.warnings.append(f"{member.path}: a copy of {seen[identity]}, counted once")
            continue
        seen[identity] = member.path
        distinct.append(member)
    return distinct


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
