"""Import a text into plain Python objects, without a trace directory."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path

from arenatrace.importers.importing import read_text
from arenatrace.importers.input_text import Text
from arenatrace.importers.reports.records import Fault, OtherReport, Stamp
from arenatrace.importers.trace_rows import TraceRows
from arenatrace.trace.meta import ImportedText

CAPTURES = Path(__file__).parent / "captures"
STREAMS = (
    "stream-7.2.13-with-tracing.txt",
    "stream-7.3-rc7-with-tracing.txt",
    "stream-7.3-rc7.txt",
)


class _Rows(TraceRows):
    """Rows that stay in memory."""

    def __init__(self) -> None:
        super().__init__(Path("never-made"), user_vm_start=None)
        self.fault_list: list[Fault] = []
        self.other_list: list[OtherReport] = []
        self.stamps: list[Stamp | None] = []

    def fault(self, fault: Fault, order: int, stamp: Stamp | None) -> bool:  # noqa: ARG002
        self.fault_list.append(fault)
        self.stamps.append(stamp)
        return True

    def other_report(self, report: OtherReport) -> None:
        self.other_list.append(report)


@dataclass
class Collected:
    """Reports and counts of one text."""

    faults: list[Fault]
    other_reports: list[OtherReport]
    stamps: list[Stamp | None]
    text: ImportedText
    unparsed: list[str] = field(default_factory=list)


def collect(data: bytes | str, *, listed: bool = True) -> Collected:
    """Import ``data``. With ``listed``, no line is skipped."""
    rows = _Rows()
    unparsed: list[str] = []
    raw = data.encode() if isinstance(data, str) else data
    text = read_text(
        Text("t", io.BytesIO(raw)),
        rows,
        (lambda _name, _number, line: unparsed.append(line)) if listed else None,
    )
    return Collected(rows.fault_list, rows.other_list, rows.stamps, text, unparsed)


def capture(name: str) -> str:
    """Return the text of a capture."""
    return (CAPTURES / name).read_text(encoding="utf-8")
