"""``meta.json``: the description of a trace in its own directory."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from arenatrace import __version__
from arenatrace.errors import TraceError
from arenatrace.schema import FORMAT_VERSION, PAGE_SIZE, Level
from arenatrace.trace.checksum import open_regular

META_NAME = "meta.json"

#: A real meta.json is a few KiB; a larger file is refused without parsing it.
MAX_META_BYTES = 4 * 1024 * 1024

_CLOCK = "CLOCK_MONOTONIC"
_INT64_MAX = (1 << 63) - 1


@dataclass(frozen=True)
class MissingProbe:
    """Probe point that the kernel lacked, and the information that the trace lacks for it."""

    point: str
    lost: str


@dataclass(frozen=True)
class Probes:
    """Attached and missing probe points."""

    attached: tuple[str, ...] = ()
    missing: tuple[MissingProbe, ...] = ()


@dataclass(frozen=True)
class ImportedText:
    """Text that a trace was imported from: name, detected format and content.

    Attributes:
        lines: lines in the text.
        faults: reports that became events.
        notes: other reports.
        unparsed: lines outside every report.
    """

    name: str
    format: str
    compression: str | None = None
    lines: int = 0
    faults: int = 0
    notes: int = 0
    unparsed: int = 0


@dataclass(frozen=True)
class Meta:
    """Facts about one recording.

    Attributes:
        kernel: release of the recorded kernel, as uname prints it.
        page_size: bytes.
        wall_offset_ns: added to a time of the trace (CLOCK_MONOTONIC, ns) gives UNIX time in ns.
        end_ts_ns: null until the recording has ended.
        lost: number of lost events by the label of the loss.
        notices: warnings about the trace.
        command: argv of the recorded command; null if there was none.
        command_status: its exit status; null if there was none.
        checksums: CRC-32 in hex of each file of a sealed trace.
        rows: number of rows of each table of a sealed trace.
        features: features of the probed kernel.
        profile: behaviour of the kernel's arena; null if unknown.
        imported: texts that the trace was made from; empty if it was recorded.
        filters: what the recording was restricted to, by kind: ``arena``, ``program``, ``cgroup``.
        nr_node_ids: number of NUMA nodes that the machine can have; null if not recorded.
        online_nodes: nodes online at the start; null if not recorded.
    """

    kernel: str
    arch: str = field(default_factory=platform.machine)
    page_size: int = PAGE_SIZE
    boot_id: str | None = None
    clock: str = _CLOCK
    wall_offset_ns: int = 0
    level: str = Level.PAGES.value
    start_ts_ns: int = 0
    end_ts_ns: int | None = None
    probes: Probes = field(default_factory=Probes)
    lost: Mapping[str, int] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    command: tuple[str, ...] | None = None
    command_status: int | None = None
    sealed: bool = False
    checksums: Mapping[str, str] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict)
    hostname: str | None = None
    tool_version: str = __version__
    features: Mapping[str, bool] = field(default_factory=dict)
    profile: str | None = None
    imported: tuple[ImportedText, ...] = ()
    filters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    nr_node_ids: int | None = None
    online_nodes: tuple[int, ...] | None = None
    format_version: int = FORMAT_VERSION

    def to_json(self) -> str:
        """Return the text of meta.json."""
        values = asdict(self)
        # The version comes first: a reader of another version needs nothing else.
        ordered = {"format_version": values.pop("format_version"), **values}
        return json.dumps(ordered, indent=2, default=dict) + "\n"


class _MemberError(Exception):
    """A member of meta.json has a wrong type or value; the message names the expected one."""


def _int(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > _INT64_MAX:
        raise _MemberError("an integer of at most 64 bits")
    return value


def _count(value: Any) -> int:
    number = _int(value)
    if number < 0:
        raise _MemberError("a count, 0 or more")
    return number


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _MemberError("true or false")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _MemberError("a string")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise _MemberError("a list")
    return value


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _MemberError("an object")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(_text(item) for item in _list(value))


def _counts(value: Any) -> dict[str, int]:
    return {name: _count(number) for name, number in _object(value).items()}


def _numbers(value: Any) -> tuple[int, ...]:
    return tuple(_count(number) for number in _list(value))


def _named_texts(value: Any) -> dict[str, str]:
    return {name: _text(text) for name, text in _object(value).items()}


def _flags(value: Any) -> dict[str, bool]:
    return {name: _bool(flag) for name, flag in _object(value).items()}


def _filters(value: Any) -> dict[str, tuple[str, ...]]:
    return {kind: _texts(names) for kind, names in _object(value).items()}


def _page_size(value: Any) -> int:
    if _int(value) != PAGE_SIZE:
        raise _MemberError(f"{PAGE_SIZE}, the only page size this version reads")
    return PAGE_SIZE


def _clock(value: Any) -> str:
    if value != _CLOCK:
        raise _MemberError(f'"{_CLOCK}"')
    return _CLOCK


def _missing(value: Any) -> MissingProbe:
    members = _object(value)
    return MissingProbe(_text(members.get("point")), _text(members.get("lost")))


def _probes(value: Any) -> Probes:
    members = _object(value)
    attached = _texts(members.get("attached", []))
    missing = tuple(_missing(item) for item in _list(members.get("missing", [])))
    return Probes(attached, missing)


def _imported(value: Any) -> tuple[ImportedText, ...]:
    texts = []
    for item in _list(value):
        members = _object(item)
        compression = members.get("compression")
        texts.append(
            ImportedText(
                name=_text(members.get("name")),
                format=_text(members.get("format")),
                compression=None if compression is None else _text(compression),
                **{n: _count(members.get(n, 0)) for n in ("lines", "faults", "notes", "unparsed")},
            )
        )
    return tuple(texts)


def _or_null(check: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else check(value)


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "format_version": _int,
    "kernel": _text,
    "arch": _text,
    "page_size": _page_size,
    "boot_id": _or_null(_text),
    "clock": _clock,
    "wall_offset_ns": _int,
    "level": _text,
    "start_ts_ns": _int,
    "end_ts_ns": _or_null(_int),
    "probes": _probes,
    "lost": _counts,
    "notices": _texts,
    "command": _or_null(_texts),
    "command_status": _or_null(_int),
    "sealed": _bool,
    "checksums": _named_texts,
    "rows": _counts,
    "hostname": _or_null(_text),
    "tool_version": _text,
    "features": _flags,
    "profile": _or_null(_text),
    "imported": _imported,
    "filters": _filters,
    "nr_node_ids": _or_null(_count),
    "online_nodes": _or_null(_numbers),
}

#: Members that every trace has. Any other may be absent and then has its default.
_REQUIRED = ("kernel", "start_ts_ns", "sealed")


def parse_meta(text: str | bytes, name: str = META_NAME) -> Meta:
    """Parse the text of a meta.json; ``name`` is the file name for errors.

    Unknown members are ignored. Raises TraceError for text that is not JSON, for a missing or
    mistyped member, and for any other format version.
    """
    damaged = "the file is damaged or not of an arenatrace trace; record or copy it again"
    try:
        members = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TraceError(f"{name}: not valid JSON", damaged) from error
    if not isinstance(members, dict):
        raise TraceError(f"{name}: not a JSON object", damaged)
    _check_version(members.get("format_version"), name)
    values: dict[str, Any] = {}
    for member in fields(Meta):
        if member.name not in members:
            if member.name in _REQUIRED:
                raise TraceError(f"{name}: {member.name} is missing", damaged)
            continue
        try:
            values[member.name] = _CHECKS[member.name](members[member.name])
        except _MemberError as error:
            raise TraceError(f"{name}: {member.name} must be {error}", damaged) from error
    return Meta(**values)


def _check_version(version: Any, name: str) -> None:
    if isinstance(version, bool) or not isinstance(version, int):
        raise TraceError(
            f"{name}: format_version is missing or not an integer",
            "the file is damaged or not of an arenatrace trace",
        )
    if version == FORMAT_VERSION:
        return
    shown = str(version) if abs(version) <= _INT64_MAX else "out of range"
    hint = (
        "upgrade arenatrace to the version that recorded it"
        if version > FORMAT_VERSION
        else "read it with the older arenatrace that recorded it"
    )
    raise TraceError(
        f"{name}: the trace has format version {shown}, this arenatrace reads {FORMAT_VERSION}",
        hint,
    )


def read_meta(directory: Path) -> Meta:
    """Read the meta.json of ``directory``; TraceError if it is missing or damaged."""
    path = directory / META_NAME
    hint = "give the directory NAME.atrace that `arenatrace record` made"
    try:
        with open_regular(path) as file:
            text = file.read(MAX_META_BYTES + 1)
    except FileNotFoundError as error:
        raise TraceError(f"{directory}: not a trace: it has no {META_NAME}", hint) from error
    except OSError as error:
        raise TraceError(f"{path}: {error.strerror}", hint) from error
    if len(text) > MAX_META_BYTES:
        raise TraceError(f"{path}: larger than {MAX_META_BYTES} bytes, not a {META_NAME}", hint)
    return parse_meta(text, str(path))


def write_meta(directory: Path, meta: Meta, *, durable: bool = True) -> None:
    """Replace the meta.json of ``directory`` atomically.

    With ``durable`` it waits until the file is on the disk. Raises OSError.
    """
    temporary = directory / f".{META_NAME}.tmp"
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(meta.to_json())
            file.flush()
            if durable:
                os.fsync(file.fileno())
        temporary.replace(directory / META_NAME)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
