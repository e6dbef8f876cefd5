"""Lines without what loggers put in front of them; which form is found by looking."""

from __future__ import annotations

import re
from dataclasses import dataclass

from arenatrace.importers.reports.records import Stamp
from arenatrace.importers.wrappers import dmesg, journal, scx

#: Colours, as dmesg --color and journalctl put them around a line's parts.
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True, slots=True)
class Unwrapped:
    """A line as it was logged. ``writer`` tells apart those whose lines may be mixed."""

    text: str
    writer: tuple[str, ...]
    forms: tuple[str, ...]
    stamp: Stamp | None = None
    host: str | None = None
    blamed: str | None = None


def unwrap(text: str) -> Unwrapped:
    """``text`` without the prefixes of the journal, the kernel log and scx, one in the other."""
    if text.startswith("\x1b["):
        text = _COLOURS.sub("", text)
    writer: tuple[str, ...] = ()
    forms: tuple[str, ...] = ()
    stamp = host = None
    if entry := journal.strip(text):
        text, stamp, host = entry.text, entry.stamp, entry.host
        writer, forms = (entry.who,), ("journal",)
    if (not entry or entry.who == "kernel") and (logged := dmesg.strip(text)):
        text, stamp = logged.text, stamp or logged.stamp
        writer, forms = (*writer, logged.caller), (*forms, "dmesg")
    if printed := scx.strip(text):
        blamed, text = printed
        return Unwrapped(text, (*writer, "scx", blamed), (*forms, "scx"), stamp, host, blamed)
    return Unwrapped(text, writer, forms, stamp, host)
