"""Prefixes of ``journalctl`` and syslog lines: time, host, identifier.

Supported are the journalctl outputs short, short-precise, short-full, short-iso,
short-iso-precise, short-monotonic and short-unix, and the traditional and RFC 3339 syslog forms.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from arenatrace.importers.reports.records import Stamp, stamp
from arenatrace.importers.wrappers.dmesg import wall_stamp

_NS_PER_S = 1_000_000_000

_DIGITS_AND_BRACKET = "[0123456789"

_TIME = (
    r"(?:[A-Z]\w\w [ \d]\d \d\d:\d\d:\d\d(?:\.\d{1,9})?"
    r"|[A-Z]\w\w \d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d{1,9})? [\w+:-]+"
    r"|(?P<iso>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:?\d\d))"
    r"|\[ *(?P<s>\d{1,10})\.(?P<us>\d{6})\]"
    r"|(?P<unix>\d{9,10}\.\d{6}))"
)
_PREFIX = re.compile(
    rf"{_TIME} (?P<host>[\w.-]{{1,64}}) (?P<who>[^\s:\[]{{1,64}}(?:\[\d+\])?):(?: |$)"
)


@dataclass(frozen=True, slots=True)
class Stripped:
    """A message of the journal without its prefix."""

    text: str
    stamp: Stamp | None
    host: str
    who: str


def strip(text: str) -> Stripped | None:
    """Strip the prefix of the journal; return None if there is none."""
    # Most lines have no prefix; this check is far faster than trying all forms.
    if " " not in text[3:4] and text[:1] not in _DIGITS_AND_BRACKET:
        return None
    found = _PREFIX.match(text)
    if found is None:
        return None
    # dmesg has the same time prefix: "[ 5.000000] Hardware name: ..." is not a journal line.
    if found["s"] and found["who"] != "kernel" and not found["who"].endswith("]"):
        return None
    return Stripped(text[found.end() :], _stamp(found), found["host"], found["who"])


def _stamp(found: re.Match[str]) -> Stamp | None:
    """Return the timestamp, None for a form without a year or with a zone abbreviation."""
    if found["iso"]:
        return wall_stamp(_microseconds(found["iso"]))
    if found["s"]:
        return stamp(int(found["s"]) * _NS_PER_S + int(found["us"]) * 1000, wall=False)
    if found["unix"]:
        seconds, _, micro = found["unix"].partition(".")
        return stamp(int(seconds) * _NS_PER_S + int(micro) * 1000, wall=True)
    return None


def _microseconds(iso: str) -> str:
    """Cut the fraction of ``iso`` to six digits, the most that Python parses."""
    return re.sub(r"(\.\d{6})\d+", r"\1", iso)
