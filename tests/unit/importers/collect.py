"""Import a text into plain Python objects, without a trace directory."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path

from arenatrace.importers.importing import read_text
from arenatrace.importers.input_text import Text
from arenatrace.importers.reports.records import Fault, Note, Stamp
from arenatrace.importers.trace_rows import TraceRows
from arenatrace.trace.meta import ImportedText

CAPTURES = Path(__file__).parent / "captures"
STREAMS = (
    "stream-7.2.13-with-tracing.txt",
    "stream-7.3-rc7-with-tracing.txt",
    "stream-7.3-rc7.txt",
)


class _Rows(TraceRows):
    """Keeps what it is given."""

    def __init__(self) -> None:
        super().__init__(Path("never-made"), user_vm_start=None)
        self.kept: list[Fault] = []
        self.kept_notes: list[Note] = []
        self.stamps: list[Stamp | None] = []

    def fault(self, fault: Fault, order: int, stamp: Stamp | None) -> bool:  # noqa: ARG002
        self.kept.append(fault)
        self.stamps.append(stamp)
        return True

    def note(self, note: Note) -> None:
        self.kept_notes.append(note)


@dataclass
class Collected:
    """What one text said."""

    faults: list[Fault]
    notes: list[Note]
    stamps: list[Stamp | None]
    text: ImportedText
    unparsed: list[str] = field(default_factory=list)


def collect(data: bytes | str, *, listed: bool = True) -> Collected:
    """Everything in ``data``. With ``listed``, no block of lines is skipped over."""
    rows = _Rows()
    unparsed: list[str] = []
    raw = data.encode() if isinstance(data, str) else data
    text = read_text(
        Text("t", io.BytesIO(raw)),
        rows,
        (lambda _name, _number, line: unparsed.append(line)) if listed else None,
    )
    return Collected(rows.kept, rows.kept_notes, rows.stamps, text, unparsed)


def capture(name: str) -> str:
    """The text of a capture."""
    return (CAPTURES / name).read_text(encoding="utf-8")
