"""Texts to one trace directory."""

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
from arenatrace.importers.reports.records import Fault, Note
from arenatrace.importers.trace_rows import TraceRows
from arenatrace.importers.warnings import notices
from arenatrace.importers.wrappers.detect import Unwrapped, unwrap
from arenatrace.trace.meta import ImportedText, Meta

#: A block that has none of these, while no report is open, has nothing to import. A header
#: that is split between two blocks has one of them whole on one side.
_MARKS = (
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

#: Writers whose lines are kept apart at the same time.
_MAX_WRITERS = 64
#: So many lines before and after a mark are looked at: pieces of a header, between which other
#: writers' lines may stand.
_NEAR = 16
#: A report that no line was added to for so many lines is over.
_PATIENCE = 2000

_LINUX_VERSION = re.compile(r"Linux version (\S{1,64})")

#: Symbols that only one architecture has.
_ARCHES = {
    "asm_exc_page_fault": "x86_64",
    "entry_SYSCALL_64_after_hwframe": "x86_64",
    "el1h_64_sync": "aarch64",
    "el0t_64_sync": "aarch64",
}

OnUnparsed = Callable[[str, int, str], None]


@dataclass(frozen=True)
class Result:
    """What was imported. ``path`` is None if no trace was made: there was nothing to keep."""

    path: Path | None
    texts: tuple[ImportedText, ...]
    notices: tuple[str, ...]

    @property
    def lines(self) -> int:
        """Lines of all texts."""
        return sum(text.lines for text in self.texts)

    @property
    def faults(self) -> int:
        """Faults of all texts."""
        return sum(text.faults for text in self.texts)

    @property
    def unparsed(self) -> int:
        """Lines of all texts that belong to no report, empty ones not counted."""
        return sum(text.unparsed for text in self.texts)


def import_texts(
    texts: Sequence[Text],
    output: Path,
    *,
    user_vm_start: int | None = None,
    on_unparsed: OnUnparsed | None = None,
) -> Result:
    """Make the trace directory ``output`` from ``texts``, in the order given.

    ``user_vm_start`` is the user address of the arena's page 0, if it is known from elsewhere.
    ``on_unparsed`` gets name, line number and text of each line that belongs to no report.
    Raises UsageError if ``output`` exists, ArenatraceError for what cannot be read as text;
    then, and if interrupted, no directory is left behind.
    """
    if output.exists() or output.is_symlink():
        raise UsageError(
            f"{output}: exists already", "choose another name with -o, or move it away"
        )
    rows = TraceRows(output, user_vm_start=user_vm_start)
    try:
        read = [_Import(text, rows, on_unparsed) for text in texts]
        facts = tuple(one.run() for one in read)
        _refuse_nothing(facts)
        said = notices(rows, [one.damage for one in read if one.damage])
        meta = Meta(
            kernel=rows.kernel or _first(one.kernel for one in read) or "unknown",
            arch=_first(one.arch for one in read) or "unknown",
            hostname=_first(one.host for one in read),
            notices=said,
            imported=facts,
        )
        return Result(rows.close(meta), facts, said)
    except BaseException:
        rows.discard()
        raise


def read_text(text: Text, rows: TraceRows, on_unparsed: OnUnparsed | None) -> ImportedText:
    """Give ``rows`` what ``text`` says; the facts of the text. Raises ArenatraceError."""
    return _Import(text, rows, on_unparsed).run()


def _refuse_nothing(facts: Sequence[ImportedText]) -> None:
    if not any(fact.lines for fact in facts):
        names = ", ".join(fact.name for fact in facts)
        raise ArenatraceError(
            f"{names}: empty", "a program's stream can be read only once: did another reader do it?"
        )


def _first(values: Iterable[str | None]) -> str | None:
    return next((value for value in values if value), None)


class _Import:
    """One text on its way into the rows."""

    def __init__(self, text: Text, rows: TraceRows, on_unparsed: OnUnparsed | None) -> None:
        self.kernel: str | None = None
        self.arch: str | None = None
        self.host: str | None = None
        self.damage = ""
        self._text = text
        self._rows = rows
        self._on_unparsed = on_unparsed
        self._lines = 0
        self._last_mark = -_NEAR
        self._faults = 0
        self._notes = 0
        self._unparsed = 0
        self._forms: Counter[str] = Counter()
        self._writers: OrderedDict[tuple[str, ...], Assembler] = OrderedDict()

    def run(self) -> ImportedText:
        """Read the text to its end; what was in it."""
        held: list[bytes] = []
        for block in self._text.blocks():
            lines = block.split(b"\n")
            if not lines[-1]:
                lines.pop()
            marked = self._marked(block)
            if marked or not self._let_go_of_writers():
                self._take_all(held + lines, [len(held) + line for line in marked])
                held = []
            else:
                self._skip(held)
                self._skip(lines[:-_NEAR])
                held = lines[-_NEAR:]
        self._skip(held)
        for writer in self._writers.values():
            writer.finish()
        if self._text.cut:
            self.damage = f"{self._text.name}: {self._text.cut}; read until there"
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

    def _marked(self, block: bytes) -> list[int]:
        """Numbers of the lines of ``block`` that have something to import, from 0, ascending."""
        found = set()
        for mark in _MARKS:
            line = last = 0
            at = block.find(mark)
            while at >= 0:
                line += block.count(b"\n", last, at)
                found.add(line)
                last = at
                at = block.find(mark, at + 1)
        return sorted(found)

    def _take_all(self, lines: list[bytes], marked: list[int]) -> None:
        """Take ``lines``, but those far from every mark only where a report wants them."""
        at = 0
        # The last lines may be near a mark of the next block.
        for mark in [*marked, len(lines)]:
            near = mark - _NEAR
            while at < min(mark + 1, len(lines)):
                if at < near and self._let_go_of_writers():
                    self._skip(lines[at:near])
                    at = near
                else:
                    self._take(lines[at])
                    at += 1
            if mark < len(lines):
                self._last_mark = self._lines

    def _let_go_of_writers(self) -> bool:
        """Whether no report is open, so that lines without a mark are of none; ends old ones."""
        if self._on_unparsed is not None or self._lines - self._last_mark < _NEAR:
            return False
        for key, writer in list(self._writers.items()):
            since = writer.waits_since
            if since is not None and self._lines - since < _PATIENCE:
                return False
            self._writers.pop(key).finish()
        return True

    def _skip(self, lines: list[bytes]) -> None:
        self._lines += len(lines)
        self._unparsed += len(lines) - lines.count(b"") - lines.count(b"\r")

    def _take(self, raw: bytes) -> None:
        self._lines += 1
        text = raw.removesuffix(b"\r").decode("utf-8", "backslashreplace")
        found = unwrap(text)
        if found.host and not self.host:
            self.host = found.host
        if "Linux version " in found.text and (version := _LINUX_VERSION.search(found.text)):
            self.kernel = self.kernel or version[1]
        self._writer(found).feed(
            Line(found.text, self._lines, found.stamp, found.blamed, found.forms)
        )

    def _writer(self, found: Unwrapped) -> Assembler:
        writer = self._writers.get(found.writer)
        if writer is None:
            if len(self._writers) >= _MAX_WRITERS:
                self._writers.popitem(last=False)[1].finish()
            writer = Assembler(self._rows.next_order, self._report, self._line)
            self._writers[found.writer] = writer
        else:
            self._writers.move_to_end(found.writer)
        return writer

    # ---- what comes out ----

    def _report(self, report: Report) -> None:
        parsed = report.parse()
        self._forms["+".join((*report.begin.forms, "oops" if report.is_oops else "stream"))] += 1
        if not isinstance(parsed, Fault):
            self._notes += 1
            self._rows.note(parsed)
            return
        for frame in parsed.frames:
            self.arch = self.arch or _ARCHES.get(frame.symbol)
        self._faults += self._rows.fault(parsed, report.order, report.begin.stamp)

    def _line(self, line: Line) -> None:
        self._unparsed += 1
        if stream.REPORTER in line.text and parse_frame(line.text):
            self._notes += 1
            self._rows.note(Note("a report without its first line", line.blamed, lost=True))
        if self._on_unparsed is not None:
            self._on_unparsed(self._text.name, line.number, line.text)

    def _format(self) -> str:
        """The form most reports were found in, outermost first: ``journal+scx+stream``."""
        return self._forms.most_common(1)[0][0] if self._forms else "none found"
