"""Import of one or more texts into one trace directory."""

from __future__ import annotations

import re
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from arenatrace.errors import ArenatraceError, UsageError
from arenatrace.importers.input_text import Text
from arenatrace.importers.reports import stream
from arenatrace.importers.reports.assembly import Assembler, Line, Report
from arenatrace.importers.reports.frames import parse_frame
from arenatrace.importers.reports.records import Fault, OtherReport
from arenatrace.importers.trace_rows import TraceRows
from arenatrace.importers.warnings import import_warnings
from arenatrace.importers.wrappers.detect import Unwrapped, unwrap
from arenatrace.trace.meta import ImportedText, Meta

#: A block without any of these contains no report, unless a report is open. If a header is split
#: between two blocks, one of the blocks contains a complete marker.
_MARKERS = (
    b"ERROR: Arena",
    b"unmapped address",
    b"ERROR: Timeout",
    b"may_goto instruction",
    b"bpf_res_spin_lock",
    b"Memory viol",
    b"ation for address",
    b"BUG: unable to handle",
    b"Linux version ",
    stream.REPORTER.encode(),
)

#: Maximum number of writers with an open assembler.
_MAX_WRITERS = 64
#: Lines parsed before and after a marker. A header may be split, with lines of other writers
#: between its pieces.
_CONTEXT_LINES = 16
#: A report ends after this many lines without an addition.
_MAX_REPORT_GAP = 2000

_LINUX_VERSION = re.compile(r"Linux version (\S{1,64})")

#: Symbols that exist on one architecture only.
_ARCHES = {
    "asm_exc_page_fault": "x86_64",
    "entry_SYSCALL_64_after_hwframe": "x86_64",
    "el1h_64_sync": "aarch64",
    "el0t_64_sync": "aarch64",
}

OnUnparsed = Callable[[str, int, str], None]


@dataclass(frozen=True)
class Result:
    """Result of an import. ``path`` is None if the texts had no report and no trace was written."""

    path: Path | None
    texts: tuple[ImportedText, ...]
    warnings: tuple[str, ...]

    @property
    def lines(self) -> int:
        """Number of lines of all texts."""
        return sum(text.lines for text in self.texts)

    @property
    def faults(self) -> int:
        """Number of faults of all texts."""
        return sum(text.faults for text in self.texts)

    @property
    def unparsed(self) -> int:
        """Number of non-empty lines outside reports, of all texts."""
        return sum(text.unparsed for text in self.texts)


def import_texts(
    texts: Sequence[Text],
    output: Path,
    *,
    user_vm_start: int | None = None,
    on_unparsed: OnUnparsed | None = None,
) -> Result:
    """Write the trace directory ``output`` from ``texts``, in the given order.

    After an error or an interrupt no directory is left behind.

    Args:
        texts: The inputs.
        output: Path of the new trace directory.
        user_vm_start: User address of the arena's page 0, if the caller knows it.
        on_unparsed: Called with name, line number and text of each line outside reports.

    Raises:
        UsageError: ``output`` exists.
        ArenatraceError: An input cannot be read as text.
    """
    if output.exists() or output.is_symlink():
        raise UsageError(
            f"{output}: already exists", "choose another name with -o, or move it away"
        )
    rows = TraceRows(output, user_vm_start=user_vm_start)
    try:
        imports = [_Import(text, rows, on_unparsed) for text in texts]
        imported = tuple(one.run() for one in imports)
        _require_lines(imported)
        warnings = import_warnings(rows, [one.damage for one in imports if one.damage])
        meta = Meta(
            kernel=rows.kernel or _first(one.kernel for one in imports) or "unknown",
            arch=_first(one.arch for one in imports) or "unknown",
            hostname=_first(one.host for one in imports),
            notices=warnings,
            imported=imported,
        )
        return Result(rows.close(meta), imported, warnings)
    except BaseException:
        rows.discard()
        raise


def read_text(text: Text, rows: TraceRows, on_unparsed: OnUnparsed | None) -> ImportedText:
    """Add the reports of ``text`` to ``rows`` and return the counts. Raises ArenatraceError."""
    return _Import(text, rows, on_unparsed).run()


def _require_lines(imported: Sequence[ImportedText]) -> None:
    if not any(text.lines for text in imported):
        names = ", ".join(text.name for text in imported)
        raise ArenatraceError(
            f"{names}: empty",
            "reading a program's stream empties it; another reader may have read it before",
        )


def _first(values: Iterable[str | None]) -> str | None:
    return next((value for value in values if value), None)


class _Import:
    """Import of one text."""

    def __init__(self, text: Text, rows: TraceRows, on_unparsed: OnUnparsed | None) -> None:
        self.kernel: str | None = None
        self.arch: str | None = None
        self.host: str | None = None
        self.damage = ""
        self._text = text
        self._rows = rows
        self._on_unparsed = on_unparsed
        self._lines = 0
        self._last_marker = -_CONTEXT_LINES
        self._faults = 0
        self._notes = 0
        self._unparsed = 0
        self._forms: Counter[str] = Counter()
        self._writers: OrderedDict[tuple[str, ...], Assembler] = OrderedDict()

    def run(self) -> ImportedText:
        """Read the text to its end and return its counts."""
        pending: list[bytes] = []
        for block in self._text.blocks():
            lines = block.split(b"\n")
            if not lines[-1]:
                lines.pop()
            markers = self._marker_lines(block)
            if markers or not self._can_skip():
                self._parse_near_markers(pending + lines, [len(pending) + line for line in markers])
                pending = []
            else:
                self._skip(pending)
                self._skip(lines[:-_CONTEXT_LINES])
                pending = lines[-_CONTEXT_LINES:]
        self._skip(pending)
        for writer in self._writers.values():
            writer.finish()
        if self._text.cut:
            self.damage = f"{self._text.name}: {self._text.cut}; read up to that point"
        return ImportedText(
            name=self._text.name,
            format=self._format(),
            compression=self._text.compression,
            lines=self._lines,
            faults=self._faults,
            notes=self._notes,
            unparsed=self._unparsed,
        )

    # ---- lines ----

    def _marker_lines(self, block: bytes) -> list[int]:
        """Return the indexes of lines of ``block`` with a marker, in ascending order."""
        indexes = set()
        for marker in _MARKERS:
            line = last = 0
            at = block.find(marker)
            while at >= 0:
                line += block.count(b"\n", last, at)
                indexes.add(line)
                last = at
                at = block.find(marker, at + 1)
        return sorted(indexes)

    def _parse_near_markers(self, lines: list[bytes], markers: list[int]) -> None:
        """Parse ``lines``; skip lines far from every marker unless a report is open."""
        at = 0
        # The last lines may be near a marker of the next block.
        for marker in [*markers, len(lines)]:
            start = marker - _CONTEXT_LINES
            while at < min(marker + 1, len(lines)):
                if at < start and self._can_skip():
                    self._skip(lines[at:start])
                    at = start
                else:
                    self._parse(lines[at])
                    at += 1
            if marker < len(lines):
                self._last_marker = self._lines

    def _can_skip(self) -> bool:
        """Return whether lines without a marker can be skipped; close reports that ended."""
        if self._on_unparsed is not None or self._lines - self._last_marker < _CONTEXT_LINES:
            return False
        for key, writer in list(self._writers.items()):
            last = writer.last_report_line
            if last is not None and self._lines - last < _MAX_REPORT_GAP:
                return False
            self._writers.pop(key).finish()
        return True

    def _skip(self, lines: list[bytes]) -> None:
        self._lines += len(lines)
        self._unparsed += len(lines) - lines.count(b"") - lines.count(b"\r")

    def _parse(self, raw: bytes) -> None:
        self._lines += 1
        text = raw.removesuffix(b"\r").decode("utf-8", "backslashreplace")
        line = unwrap(text)
        if line.host and not self.host:
            self.host = line.host
        if "Linux version " in line.text and (version := _LINUX_VERSION.search(line.text)):
            self.kernel = self.kernel or version[1]
        self._writer(line).feed(Line(line.text, self._lines, line.stamp, line.blamed, line.forms))

    def _writer(self, line: Unwrapped) -> Assembler:
        writer = self._writers.get(line.writer)
        if writer is None:
            if len(self._writers) >= _MAX_WRITERS:
                self._writers.popitem(last=False)[1].finish()
            writer = Assembler(self._rows.next_order, self._on_report, self._on_unparsed_line)
            self._writers[line.writer] = writer
        else:
            self._writers.move_to_end(line.writer)
        return writer

    # ---- output ----

    def _on_report(self, report: Report) -> None:
        parsed = report.parse()
        self._forms["+".join((*report.begin.forms, "oops" if report.is_oops else "stream"))] += 1
        if not isinstance(parsed, Fault):
            self._notes += 1
            self._rows.other_report(parsed)
            return
        for frame in parsed.frames:
            self.arch = self.arch or _ARCHES.get(frame.symbol)
        self._faults += self._rows.fault(parsed, report.order, report.begin.stamp)

    def _on_unparsed_line(self, line: Line) -> None:
        self._unparsed += 1
        if stream.REPORTER in line.text and parse_frame(line.text):
            self._notes += 1
            self._rows.other_report(
                OtherReport("a report without its first line", line.blamed, lost=True)
            )
        if self._on_unparsed is not None:
            self._on_unparsed(self._text.name, line.number, line.text)

    def _format(self) -> str:
        """Return the most frequent form of the reports, outermost first: ``journal+scx+stream``."""
        return self._forms.most_common(1)[0][0] if self._forms else "none found"
