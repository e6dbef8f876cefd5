"""Assembly of reports from the lines of one writer, including joined and split lines.

A stream has no separators. A program's own output without a newline runs into the next report,
and a reader with a small buffer splits lines anywhere. So headers are searched inside lines, and
an unrecognized line is joined with its neighbors and tried again.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from arenatrace.importers.reports import oops, stream
from arenatrace.importers.reports.frames import ROOTS, parse_frame, parse_task
from arenatrace.importers.reports.records import Fault, OtherReport, Stamp
from arenatrace.importers.reports.stream import LineKind

#: Maximum lines of a report; the deepest stacks have a few hundred frames.
_MAX_REPORT_LINES = 1024
#: Maximum unrecognized lines within a report; more end the report.
_MAX_MISSES = 64
#: Unrecognized lines buffered for joining with later lines.
_MAX_PENDING = 3
#: Characters at the end of a line that can begin a header.
_MAX_HEADER_PIECE = 128
#: Task names have up to 15 bytes (TASK_COMM_LEN).
_MAX_COMM = 15

_TRACE_LINE = "Call trace:"
_HEX = re.compile(r"[0-9a-f]+")


@dataclass(frozen=True, slots=True)
class Line:
    """A line without its prefixes, with line number, timestamp, blamed program and form."""

    text: str
    number: int
    stamp: Stamp | None = None
    blamed: str | None = None
    forms: tuple[str, ...] = ()


@dataclass(slots=True)
class Report:
    """A report under assembly. ``closing`` is set after an empty line; a valid line resets it."""

    order: int
    header: re.Match[str]
    begin: Line
    is_oops: bool
    lines: list[tuple[LineKind, str]] = field(default_factory=list)
    raw: list[str] = field(default_factory=list)
    closing: bool = False
    misses: int = 0
    last_number: int = 0
    #: Whether the next line can be a source line.
    below_bpf_frame: bool = False
    _has_task: bool = False
    _has_trace: bool = False
    _has_root: bool = False

    def add(self, kind: LineKind, text: str) -> None:
        """Add a line that belongs to the report."""
        self.closing = False
        self.lines.append((kind, text))
        self._update_state(kind, text)

    def replace_last(self, text: str) -> None:
        """Replace the last line by its longer version."""
        kind, _ = self.lines[-1]
        self.lines[-1] = (kind, text)
        self._update_state(kind, text)

    def _update_state(self, kind: LineKind, text: str) -> None:
        self.below_bpf_frame = False
        if kind is LineKind.FRAME:
            self._has_task = self._has_trace = True
            self.below_bpf_frame = _is_bpf_frame(text)
            frame = parse_frame(text)
            self._has_root = frame is not None and frame.symbol in ROOTS
        elif kind is not LineKind.SOURCE:
            self._has_task |= kind is not LineKind.LOCK
            self._has_trace |= kind is LineKind.TRACE

    @property
    def is_over(self) -> bool:
        """Whether an unrecognized line ends the report."""
        if self.closing:
            # An empty line ends a complete report; other output may put one into the middle.
            return self._has_root or self.misses > _MAX_PENDING
        return self.misses > _MAX_MISSES

    def can_continue_with(self, kind: LineKind) -> bool:
        """Return whether a line of ``kind`` can continue this report."""
        if kind is LineKind.FRAME:
            return not self._has_root
        if kind is LineKind.TRACE:
            return not self._has_trace
        return kind is LineKind.SOURCE or not self._has_task

    def parse(self) -> Fault | OtherReport:
        """Parse the assembled report."""
        if self.is_oops:
            return oops.parse(self.header, self.raw, self.begin.blamed)
        return stream.parse(self.header, self.lines, self.begin.blamed)


class Assembler:
    """Assembles the lines of one writer into reports; passes on lines outside reports."""

    def __init__(
        self,
        next_order: Callable[[], int],
        on_report: Callable[[Report], None],
        on_unparsed: Callable[[Line], None],
    ) -> None:
        self._next_order = next_order
        self._on_report = on_report
        self._on_unparsed = on_unparsed
        self._report: Report | None = None
        #: Unrecognized lines, buffered for joining.
        self._pending: deque[Line] = deque()

    @property
    def last_report_line(self) -> int | None:
        """Number of the last line of the open report, None if no report is open."""
        return self._report.last_number if self._report else None

    def feed(self, line: Line) -> None:
        """Process the next line."""
        text = line.text
        report = self._report
        in_source = report is not None and report.below_bpf_frame and text.startswith("  ")
        if in_source and stream.parse_source(text):
            # The program's author controls this line: never parse it as a header.
            self._add_text(line, text)
            return
        at = 0
        found = _find_header(text)
        if found is None and self._join_header(line):
            return
        while found is not None:
            if found.start() > at:
                self._add_text(line, text[at : found.start()])
            self._begin(line, found)
            at = found.end()
            found = _find_header(text, at)
        if at == 0 or at < len(text):
            self._add_text(line, text[at:] if at else text)

    def finish(self) -> None:
        """End the input: close the open report and flush buffered lines."""
        self._close()
        self._flush_pending()

    # ---- headers ----

    def _begin(self, line: Line, found: re.Match[str]) -> None:
        self._close()
        is_oops = found.re is oops.HEADER
        self._report = Report(self._next_order(), found, line, is_oops, last_number=line.number)

    def _join_header(self, line: Line) -> bool:
        """Join a buffered line and this one to a header; return whether a report began."""
        for first in reversed(self._pending):
            tail = first.text[-_MAX_HEADER_PIECE:]
            joined_line = tail + line.text
            found = _find_header(joined_line)
            if found is not None and found.start() < len(tail) < found.end():
                self._pending.remove(first)
                self._flush_pending()
                self._begin(replace(first, text=joined_line, number=line.number), found)
                if found.end() < len(joined_line):
                    self._add_text(line, joined_line[found.end() :])
                return True
        return False

    # ---- other lines ----

    def _add_text(self, line: Line, text: str) -> None:
        report = self._report
        if report is None:
            if text:
                self._buffer(line, text)
            return
        if report.is_oops:
            self._add_to_oops(report, line, text)
            return
        if not text:
            report.closing = True
            return
        kind = stream.line_kind(text, below_bpf_frame=report.below_bpf_frame)
        if self._join_line(report, kind, text):
            report.last_number = line.number
            return
        if kind is None or not report.can_continue_with(kind):
            report.misses += 1
            if kind is not None or report.is_over:
                self._close()
            self._buffer(line, text)
            return
        self._flush_pending()
        self._add(report, kind, text)
        report.last_number = line.number

    def _add(self, report: Report, kind: LineKind, text: str) -> None:
        report.add(kind, text)
        if len(report.lines) >= _MAX_REPORT_LINES:
            self._close()

    def _add_to_oops(self, report: Report, line: Line, text: str) -> None:
        report.raw.append(text[: stream.MAX_LINE])
        report.last_number = line.number
        if oops.END.search(text) or len(report.raw) >= oops.MAX_LINES:
            self._close()

    def _join_line(self, report: Report, kind: LineKind | None, text: str) -> bool:
        """Join ``text`` to a buffered or the last line; return whether the result is valid."""
        if report.closing:
            return False
        below = report.below_bpf_frame
        for distance, pending in enumerate(reversed(self._pending)):
            if distance and kind is not None:
                break
            joined_line = pending.text + text
            if kind is LineKind.SOURCE and _has_indent(text) and not _has_indent(joined_line):
                continue
            joined = stream.line_kind(joined_line, below_bpf_frame=below)
            if joined is not None and report.can_continue_with(joined):
                self._pending.remove(pending)
                self._flush_pending()
                self._add(report, joined, joined_line)
                return True
        return kind is None and not self._pending and self._extend_last_line(report, text)

    def _extend_last_line(self, report: Report, text: str) -> bool:
        """Append ``text`` to the last line, valid without it too; return whether that is valid."""
        if not report.lines:
            joined_line = report.header.string[report.header.start() : report.header.end()] + text
            longer = report.header.re.fullmatch(joined_line) if _HEX.fullmatch(text) else None
            if longer is not None:
                report.header = longer
            return longer is not None
        kind, last = report.lines[-1]
        joined_line = last + text
        above = len(report.lines) > 1 and _is_bpf_frame(report.lines[-2][1])
        if stream.line_kind(joined_line, below_bpf_frame=above) is not kind:
            return False
        if not _is_rest(kind, last, text):
            return False
        report.replace_last(joined_line)
        return True

    def _buffer(self, line: Line, text: str) -> None:
        self._pending.append(line if line.text is text else replace(line, text=text))
        if len(self._pending) > _MAX_PENDING:
            self._on_unparsed(self._pending.popleft())

    def _flush_pending(self) -> None:
        while self._pending:
            self._on_unparsed(self._pending.popleft())

    def _close(self) -> None:
        report, self._report = self._report, None
        if report is not None:
            self._on_report(report)


def _find_header(text: str, at: int = 0) -> re.Match[str] | None:
    # Most lines have no header, and ``in`` is far faster than a regex search.
    if "ERROR: " in text or "Memory viol" in text:
        return stream.HEADER.search(text, at)
    return oops.HEADER.search(text, at) if "BUG: unable" in text else None


def _is_bpf_frame(text: str) -> bool:
    if "bpf_prog_" not in text:
        return False
    frame = parse_frame(text)
    return frame is not None and frame.bpf is not None


def _has_indent(text: str) -> bool:
    """Return whether a source line has its two leading spaces."""
    return text.startswith("  ")


def _is_rest(kind: LineKind, last: str, text: str) -> bool:
    """Return whether ``text`` ends the line ``last`` rather than beginning a new line."""
    if kind is LineKind.TASK:
        task = parse_task(last + text)
        # "C" can be the first letter of the next line, "Call trace:".
        short = task is not None and len(task.comm.encode()) <= _MAX_COMM
        return short and not _TRACE_LINE.startswith(text)
    if kind is LineKind.FRAME:
        frame = parse_frame(last)
        is_complete = frame is not None and frame.offset <= frame.size
        # "b" can be the first letter of the next symbol. No symbol begins with a digit.
        return not (is_complete and text[0] in "abcdef" and _HEX.fullmatch(text))
    return kind is LineKind.SOURCE
