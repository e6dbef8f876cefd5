"""Prefixes of the kernel log: ``dmesg``, serial consoles and /dev/kmsg readers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from arenatrace.importers.reports.records import Stamp, stamp

_NS_PER_S = 1_000_000_000

_LEVEL = r"(?:<\d{1,3}>|[a-z0-9]{2,8} *:[a-z]+ *: ?)?"
_CALLER = r"(?:\[ *(?P<caller>[TC]\d+)\] ?)?"
_SINCE_BOOT = re.compile(rf"{_LEVEL}\[ *(?P<s>\d{{1,10}})\.(?P<us>\d{{6}})\] ?{_CALLER}")
# dmesg -T, --reltime: local time without a zone, or a time difference.
_CTIME = re.compile(
    rf"{_LEVEL}\[(?:[A-Z]\w\w [A-Z]\w\w [ \d]?\d \d\d:\d\d:\d\d \d{{4}}"
    rf"|[A-Z]\w\w[ \d]?\d \d\d:\d\d|[ <+\d]*\d\.\d{{6}}>?)\] ?{_CALLER}"
)
_ISO = re.compile(
    rf"{_LEVEL}(?P<iso>\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d,\d{{6}}[+-]\d\d:\d\d) {_CALLER}"
)
_MAY_BEGIN = frozenset("[<0123456789").__contains__
_BARE_LEVEL = re.compile(r"<\d{1,3}>")


@dataclass(frozen=True, slots=True)
class Stripped:
    """A line of the kernel log without its prefix; ``caller`` is the printing thread or CPU."""

    text: str
    stamp: Stamp | None
    caller: str


def strip(text: str) -> Stripped | None:
    """Strip the prefix of the kernel log; return None if there is none."""
    # Most lines have no prefix; this check is far faster than trying all forms.
    if not _MAY_BEGIN(text[:1]) and ":" not in text[:10]:
        return None
    if found := _SINCE_BOOT.match(text):
        ns = int(found["s"]) * _NS_PER_S + int(found["us"]) * 1000
        return Stripped(text[found.end() :], stamp(ns, wall=False), found["caller"] or "")
    if found := _ISO.match(text):
        return Stripped(text[found.end() :], wall_stamp(found["iso"]), found["caller"] or "")
    if found := _CTIME.match(text):
        return Stripped(text[found.end() :], None, found["caller"] or "")
    if found := _BARE_LEVEL.match(text):
        return Stripped(text[found.end() :], None, "")
    return None


def wall_stamp(iso: str) -> Stamp | None:
    """Return the timestamp of an ISO 8601 date with a zone, None if it is invalid."""
    try:
        parsed = datetime.fromisoformat(iso.replace(",", "."))
    except ValueError:
        return None
    if parsed.tzinfo is None:
        return None
    ns = int(parsed.replace(microsecond=0).timestamp()) * _NS_PER_S + parsed.microsecond * 1000
    return stamp(ns, wall=True)
