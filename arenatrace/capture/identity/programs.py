"""Programs of a recording by the start of their code."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from arenatrace.capture.identity.arenas import Arenas, Row
from arenatrace.capture.identity.line_table import LineRow, LineTables
from arenatrace.capture.ring.notes import (
    FaultStackNote,
    FuncNote,
    LinesNote,
    ProgNote,
    StringsNote,
)


@dataclass(frozen=True)
class _Program:
    """A program's note with its functions and lines, which are sent before it."""

    note: ProgNote
    funcs: list[FuncNote]
    lines: list[LineRow]


class Programs:
    """Indices of programs by the start of their JITed code, and rows of the table ``programs``.

    The kernel reuses code addresses: one means the same program only from load to unload.
    """

    def __init__(self, arenas: Arenas, type_names: Mapping[int, str], own_ids: set[int]) -> None:
        self.rows: list[Row] = []
        self._arenas = arenas
        self._type_names = type_names
        self._own_ids = own_ids
        self.lines = LineTables()
        self._funcs: dict[int, list[FuncNote]] = defaultdict(list)
        self._waiting: dict[int, list[_Program]] = defaultdict(list)
        self._live: dict[int, int] = {}
        self._enumerated: dict[int, ProgNote] = {}
        self._described: set[int] = set()
        self._count = 0

    def note(self, note: ProgNote | FuncNote | LinesNote | StringsNote) -> None:
        """Take a note about a program. It applies when the program's load event is read."""
        if isinstance(note, FuncNote):
            self._funcs[note.key].append(note)
        elif isinstance(note, LinesNote):
            self.lines.add_lines(note)
        elif isinstance(note, StringsNote):
            self.lines.add_strings(note)
        else:
            # a program's own note comes last, so the parts under its key are its own; the next
            # program may have the same key before this one's event is read
            program = _Program(note, self._funcs.pop(note.key, []), self.lines.take(note.key))
            if note.preexisting:
                self._enumerate(program)
            else:
                self._waiting[note.start].append(program)

    def _enumerate(self, program: _Program) -> None:
        note = program.note
        if note.start in self._live:
            return
        index = self._new(note.start)
        self._enumerated[index] = note
        self._describe(index, program, preexisting=True, load_ts_ns=None)

    def loaded(self, start: int, ts_ns: int) -> int:
        """Return the index of a program loaded at ``ts_ns``."""
        program = self._claim(start, ts_ns)
        index = self._live.get(start)
        seen = self._enumerated.get(index) if index is not None else None
        if index is not None and seen is not None and seen.ts_ns > ts_ns:
            # loaded while recording began, and enumerated before its event was read
            self.rows.append({"prog": index, "preexisting": False, "load_ts_ns": ts_ns})
            return index
        index = self._new(start)
        if program is None:
            self.rows.append({"prog": index, "preexisting": False, "load_ts_ns": ts_ns})
        else:
            self._describe(index, program, preexisting=False, load_ts_ns=ts_ns)
        return index

    def unloaded(self, start: int, ts_ns: int) -> int | None:
        """Return the index of an unloaded program; its code addresses may be reused."""
        index = self._live.pop(start, None)
        if index is not None:
            self.rows.append({"prog": index, "unload_ts_ns": ts_ns})
        return index

    def index(self, start: int, stack: FaultStackNote | None) -> int:
        """Return the index of the program whose code starts at ``start`` now.

        The fault's stack describes a program whose notes were lost.
        """
        index = self._live.get(start)
        if index is None:
            index = self._new(start)
            self.rows.append({"prog": index})
        if index not in self._described and stack is not None and stack.start == start:
            self._described.add(index)
            self.rows.append(
                {
                    "prog": index,
                    "id": stack.id or None,
                    "name": stack.name or None,
                    "tag": stack.tag,
                    "arena": self._arenas.index(stack.arena) if stack.arena else None,
                    "funcs": [{"name": None, "start": stack.start, "end": stack.end}],
                }
            )
        return index

    def _new(self, start: int) -> int:
        index = self._count
        self._count += 1
        self._live[start] = index
        return index

    def _claim(self, start: int, ts_ns: int) -> _Program | None:
        waiting = self._waiting.pop(start, [])
        ready = [program for program in waiting if program.note.ts_ns <= ts_ns]
        later = [program for program in waiting if program.note.ts_ns > ts_ns]
        if later:
            self._waiting[start] = later
        return ready[-1] if ready else None

    def _describe(
        self, index: int, program: _Program, *, preexisting: bool, load_ts_ns: int | None
    ) -> None:
        note = program.note
        own = note.id in self._own_ids
        funcs = [{"name": note.ksym or None, "start": note.start, "end": note.end}]
        funcs += [
            {"name": func.ksym or None, "start": func.start, "end": func.end}
            for func in program.funcs
        ]
        self._described.add(index)
        self.rows.append(
            {
                "prog": index,
                "id": note.id or None,
                "name": full_name(note.ksym, note.tag) or note.name or None,
                "tag": note.tag,
                "type": self._type_names.get(note.type),
                "arena": self._arenas.index(note.arena) if note.arena else None,
                "own": own,
                "preexisting": preexisting,
                "load_ts_ns": load_ts_ns,
                "funcs": funcs,
                "lines": [] if own else self.lines.table(program.lines, note.btf_id),
            }
        )


def full_name(ksym: str, tag: str) -> str | None:
    """Return the name in ``bpf_prog_<tag>_<name>``; prog->aux->name has only its first 15 bytes.

    Returns None for a symbol without name (bpf_get_prog_name() adds none for unnamed programs).
    """
    prefix = f"bpf_prog_{tag}_"
    return ksym.removeprefix(prefix) if ksym.startswith(prefix) and ksym != prefix else None
