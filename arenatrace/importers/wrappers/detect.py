"""Detection and removal of logger prefixes."""

from __future__ import annotations

import re
from dataclasses import dataclass

from arenatrace.importers.reports.records import Stamp
from arenatrace.importers.wrappers import dmesg, journal, scx

#: Color escapes of dmesg --color and journalctl.
_COLORS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True, slots=True)
class Unwrapped:
    """A line without its prefixes. ``writer`` separates sources with interleaved lines."""

    text: str
    writer: tuple[str, ...]
    forms: tuple[str, ...]
    stamp: Stamp | None = None
    host: str | None = None
    blamed: str | None = None


def unwrap(text: str) -> Unwrapped:
    """Strip the nested prefixes of the journal, the kernel log and sched_ext."""
    if text.startswith("\x1b["):
        text = _COLORS.sub("", text)
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
