"""Lines of one writer to whole reports, however they were glued or split.

A stream has no separators: a program's own output without a newline comes right before a
report, and a reader with a small buffer splits lines anywhere. So a header is looked for
inside of lines, and a line that makes no sense is tried together with its neighbours.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from arenatrace.importers.reports import oops, stream
from arenatrace.importers.reports.frames import ROOTS, parse_frame, parse_task
from arenatrace.importers.reports.records import Fault, Note, Stamp
from arenatrace.importers.reports.stream import LineKind

#: Lines of a report at most; the deepest stacks have a few hundred frames.
_MAX_REPORT_LINES = 1024
#: Lines that make no sense within one report before it is given up.
_MAX_MISSES = 64
#: Lines kept to be tried together with what comes; more pieces than that are not put together.
_MAX_HELD = 3
#: Only the end of a line can be the beginning of a header.
_HEADER_REACH = 128
#: Task names have up to 15 bytes (TASK_COMM_LEN).
_MAX_COMM = 15

_TRACE_LINE = "Call trace:"
_HEX = re.compile(r"[0-9a-f]+")


@dataclass(frozen=True, slots=True)
class Line:
    """A line without its prefixes: where it stood, its time, the program it is of, its form."""

    text: str
    number: int
    stamp: Stamp | None = None
    blamed: str | None = None
    forms: tuple[str, ...] = ()


@dataclass(slots=True)
class Report:
    """A report being read. ``closing``: an empty line came, which ends it unless it goes on."""

    order: int
    header: re.Match[str]
    begin: Line
    is_oops: bool
    lines: list[tuple[LineKind, str]] = field(default_factory=list)
    raw: list[str] = field(default_factory=list)
    closing: bool = False
    misses: int = 0
    last_number: int = 0
    #: Whether a source line can come next.
    below_bpf_frame: bool = False
    _has_task: bool = False
    _has_trace: bool = False
    _has_root: bool = False

    def add(self, kind: LineKind, text: str) -> None:
        """Add a line that belongs to the report."""
        self.closing = False
        self.lines.append((kind, text))
        self._look(kind, text)

    def replace_last(self, text: str) -> None:
        """The last line turned out to be longer."""
        kind, _ = self.lines[-1]
        self.lines[-1] = (kind, text)
        self._look(kind, text)

    def _look(self, kind: LineKind, text: str) -> None:
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
        """Whether a line that makes no sense ends the report."""
        if self.closing:
            # An empty line is the end, unless it was put into the middle with what follows it.
            return self._has_root or self.misses > _MAX_HELD
        return self.misses > _MAX_MISSES

    def may_continue_with(self, kind: LineKind) -> bool:
        """Whether a line of ``kind`` still belongs to this report."""
        if kind is LineKind.FRAME:
            return not self._has_root
        if kind is LineKind.TRACE:
            return not self._has_trace
        return kind is LineKind.SOURCE or not self._has_task

    def parse(self) -> Fault | Note:
        """What the report says."""
        if self.is_oops:
            return oops.parse(self.header, self.raw, self.begin.blamed)
        return stream.parse(self.header, self.lines, self.begin.blamed)


class Assembler:
    """Takes the lines of one writer in order; hands out reports and lines that are of none."""

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
        #: Lines that made no sense so far.
        self._held: deque[Line] = deque()

    @property
    def waits_since(self) -> int | None:
        """The number of the last line of the open report, None if no report is open."""
        return self._report.last_number if self._report else None

    def feed(self, line: Line) -> None:
        """Take the next line."""
        text = line.text
        report = self._report
        in_source = report is not None and report.below_bpf_frame and text.startswith("  ")
        if in_source and stream.parse_source(text):
            # The program's author wrote this line, be it a header by its looks.
            self._plain(line, text)
            return
        at = 0
        found = _find_header(text)
        if found is None and self._joins_to_header(line):
            return
        while found is not None:
            if found.start() > at:
                self._plain(line, text[at : found.start()])
            self._begin(line, found)
            at = found.end()
            found = _find_header(text, at)
        if at == 0 or at < len(text):
            self._plain(line, text[at:] if at else text)

    def finish(self) -> None:
        """No more lines come."""
        self._close()
        self._let_go()

    # ---- headers ----

    def _begin(self, line: Line, found: re.Match[str]) -> None:
        self._close()
        is_oops = found.re is oops.HEADER
        self._report = Report(self._next_order(), found, line, is_oops, last_number=line.number)

    def _joins_to_header(self, line: Line) -> bool:
        """Whether a line before and this one are two pieces of a header; begins the report."""
        for first in reversed(self._held):
            tail = first.text[-_HEADER_REACH:]
            whole = tail + line.text
            found = _find_header(whole)
            if found is not None and found.start() < len(tail) < found.end():
                self._held.remove(first)
                self._let_go()
                self._begin(replace(first, text=whole, number=line.number), found)
                if found.end() < len(whole):
                    self._plain(line, whole[found.end() :])
                return True
        return False

    # ---- everything else ----

    def _plain(self, line: Line, text: str) -> None:
        report = self._report
        if report is None:
            if text:
                self._hold(line, text)
            return
        if report.is_oops:
            self._of_oops(report, line, text)
            return
        if not text:
            report.closing = True
            return
        kind = stream.line_kind(text, below_bpf_frame=report.below_bpf_frame)
        if self._joins(report, kind, text):
            report.last_number = line.number
            return
        if kind is None or not report.may_continue_with(kind):
            report.misses += 1
            if kind is not None or report.is_over:
                self._close()
            self._hold(line, text)
            return
        self._let_go()
        self._add(report, kind, text)
        report.last_number = line.number

    def _add(self, report: Report, kind: LineKind, text: str) -> None:
        report.add(kind, text)
        if len(report.lines) >= _MAX_REPORT_LINES:
            self._close()

    def _of_oops(self, report: Report, line: Line, text: str) -> None:
        report.raw.append(text[: stream.MAX_LINE])
        report.last_number = line.number
        if oops.END.search(text) or len(report.raw) >= oops.MAX_LINES:
            self._close()

    def _joins(self, report: Report, kind: LineKind | None, text: str) -> bool:
        """Whether ``text`` is the rest of a line that was split, and put together makes sense."""
        if report.closing:
            return False
        below = report.below_bpf_frame
        for back, held in enumerate(reversed(self._held)):
            if back and kind is not None:
                break
            whole = held.text + text
            if kind is LineKind.SOURCE and _is_whole_source(text) and not _is_whole_source(whole):
                continue
            joined = stream.line_kind(whole, below_bpf_frame=below)
            if joined is not None and report.may_continue_with(joined):
                self._held.remove(held)
                self._let_go()
                self._add(report, joined, whole)
                return True
        return kind is None and not self._held and self._extends(report, text)

    def _extends(self, report: Report, text: str) -> bool:
        """Whether ``text`` is the rest of the last line, which made sense without it as well."""
        if not report.lines:
            whole = report.header.string[report.header.start() : report.header.end()] + text
            longer = report.header.re.fullmatch(whole) if _HEX.fullmatch(text) else None
            if longer is not None:
                report.header = longer
            return longer is not None
        kind, last = report.lines[-1]
        whole = last + text
        above = len(report.lines) > 1 and _is_bpf_frame(report.lines[-2][1])
        if stream.line_kind(whole, below_bpf_frame=above) is not kind:
            return False
        if not _is_rest(kind, last, text):
            return False
        report.replace_last(whole)
        return True

    def _hold(self, line: Line, text: str) -> None:
        self._held.append(line if line.text is text else replace(line, text=text))
        if len(self._held) > _MAX_HELD:
            self._on_unparsed(self._held.popleft())

    def _let_go(self) -> None:
        while self._held:
            self._on_unparsed(self._held.popleft())

    def _close(self) -> None:
        report, self._report = self._report, None
        if report is not None:
            self._on_report(report)


def _find_header(text: str, at: int = 0) -> re.Match[str] | None:
    # Most lines hold none of these, and ``in`` is far faster than a search.
    if "ERROR: " in text or "Memory viol" in text:
        return stream.HEADER.search(text, at)
    return oops.HEADER.search(text, at) if "BUG: unable" in text else None


def _is_bpf_frame(text: str) -> bool:
    if "bpf_prog_" not in text:
        return False
    frame = parse_frame(text)
    return frame is not None and frame.bpf is not None


def _is_whole_source(text: str) -> bool:
    """Whether a source line has its two spaces in front."""
    return text.startswith("  ")


def _is_rest(kind: LineKind, last: str, text: str) -> bool:
    """Whether ``text`` rather ends the line ``last`` than begins a line of its own."""
    if kind is LineKind.TASK:
        task = parse_task(last + text)
        # "C" can be the first letter of the line that must come now.
        short = task is not None and len(task.comm.encode()) <= _MAX_COMM
        return short and not _TRACE_LINE.startswith(text)
    if kind is LineKind.FRAME:
        frame = parse_frame(last)
        whole = frame is not None and frame.offset <= frame.size
        # "b" can be the first letter of the next symbol; no symbol begins with a digit.
        return not (whole and text[0] in "abcdef" and _HEX.fullmatch(text))
    return kind is LineKind.SOURCE
