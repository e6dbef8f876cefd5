"""Who is who over time: arenas by pointer, programs by the start of their code.

The kernel reuses both, so an event's pointer means an arena only between that arena's
creation and destruction. The ledger is fed in the order of the event ring and gives every
arena and program an index that stays.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from arenatrace.capture.identity.line_table import LineRow, LineTables
from arenatrace.capture.identity.stack_table import StackTable
from arenatrace.capture.ring.notes import (
    ArenaNote,
    FaultStackNote,
    FuncNote,
    LinesNote,
    Note,
    PageStackNote,
    ProgNote,
    StringsNote,
    SymbolNote,
)
from arenatrace.schema import BAND_SZ, GUARD_SZ

Row = dict[str, Any]

#: Stacks that may wait for their event before any is dropped, and how long each may at least.
#: An event follows its stack at once, unless its task is preempted in between.
_STACKS_KEPT = 4096
_STRINGS_KEPT = 64 << 20
_STACK_PATIENCE_NS = 60_000_000_000


class Arenas:
    """Arena pointers to indices, and the rows of the table ``arenas``."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.kern_vm_start: list[int] = []
        self.user_vm_start: list[int] = []
        self._live: dict[int, int] = {}
        self._enumerated_at: dict[int, int] = {}
        #: Arenas that were created while recording and are not destroyed yet.
        self.begun: set[int] = set()
        self._generations: dict[int, int] = defaultdict(int)
        self._facts: dict[int, list[ArenaNote]] = defaultdict(list)

    def note(self, note: ArenaNote) -> None:
        """Remember what the probes said of an arena."""
        if not note.preexisting:
            self._facts[note.ptr].append(note)
            return
        if note.ptr not in self._live:
            index = self._new(note.ptr, preexisting=True)
            self._enumerated_at[index] = note.ts_ns
        self._apply(note.ptr, note)

    def created(self, ptr: int, ts_ns: int) -> int:
        """An arena came to be at ``ts_ns``."""
        index = self._live.get(ptr)
        if index is not None and self._enumerated_at.get(index, 0) > ts_ns:
            # born while recording began: the enumeration saw it first, the ring is slower
            self.rows.append({"arena": index, "preexisting": False, "create_ts_ns": ts_ns})
        else:
            index = self._new(ptr, preexisting=False, create_ts_ns=ts_ns)
        self.begun.add(index)
        # older ones are of an arena whose end was lost
        for note in self._take_facts(ptr, ts_ns)[-1:]:
            self._apply(ptr, note)
        return index

    def mapped(self, ptr: int, ts_ns: int) -> int:
        """An arena was mapped by user space: its user range is fixed from here on."""
        index = self.index(ptr)
        for note in self._take_facts(ptr, ts_ns):
            self._apply(ptr, note)
        return index

    def destroyed(self, ptr: int, ts_ns: int) -> int:
        """An arena ended; its pointer may soon be another's."""
        index = self.index(ptr)
        self.rows.append({"arena": index, "destroy_ts_ns": ts_ns})
        del self._live[ptr]
        self.begun.discard(index)
        self._take_facts(ptr, ts_ns)
        return index

    def index(self, ptr: int) -> int:
        """The arena that ``ptr`` means now; one never heard of must have been there before."""
        index = self._live.get(ptr)
        return self._new(ptr, preexisting=True) if index is None else index

    def at_address(self, kaddr: int) -> int | None:
        """The live arena whose kernel vm area, guards included, holds ``kaddr``."""
        for index in self._live.values():
            start = self.kern_vm_start[index] - GUARD_SZ // 2
            if self.kern_vm_start[index] and start <= kaddr < start + BAND_SZ + GUARD_SZ:
                return index
        return None

    def all_placed(self) -> bool:
        """Whether it is known of every live arena where in kernel memory it lies."""
        return all(self.kern_vm_start[index] for index in self._live.values())

    def _new(self, ptr: int, *, preexisting: bool, create_ts_ns: int | None = None) -> int:
        index = len(self.kern_vm_start)
        self.kern_vm_start.append(0)
        self.user_vm_start.append(0)
        self._live[ptr] = index
        self.rows.append(
            {
                "arena": index,
                "ptr": ptr,
                "generation": self._generations[ptr],
                "preexisting": preexisting,
                "create_ts_ns": create_ts_ns,
            }
        )
        self._generations[ptr] += 1
        return index

    def _take_facts(self, ptr: int, ts_ns: int) -> list[ArenaNote]:
        """The notes until ``ts_ns``, each given once."""
        facts = self._facts.pop(ptr, [])
        later = [note for note in facts if note.ts_ns > ts_ns]
        if later:
            self._facts[ptr] = later
        return [note for note in facts if note.ts_ns <= ts_ns]

    def _apply(self, ptr: int, note: ArenaNote) -> None:
        index = self._live[ptr]
        if note.kern_vm_addr:
            self.kern_vm_start[index] = note.kern_vm_addr + GUARD_SZ // 2
        self.user_vm_start[index] = note.user_vm_start or self.user_vm_start[index]
        self.rows.append(
            {
                "arena": index,
                "map_id": note.id or None,
                "name": note.name or None,
                "kern_vm_start": self.kern_vm_start[index] or None,
                "user_vm_start": note.user_vm_start or None,
                "max_entries": note.max_entries,
                "map_flags": note.map_flags,
            }
        )


@dataclass(frozen=True)
class _Described:
    """A program's note with the parts that came before it."""

    note: ProgNote
    funcs: list[FuncNote]
    lines: list[LineRow]


class Programs:
    """Starts of JITed code to program indices, and the rows of the table ``programs``."""

    def __init__(self, arenas: Arenas, type_names: Mapping[int, str], own_ids: set[int]) -> None:
        self.rows: list[Row] = []
        self._arenas = arenas
        self._type_names = type_names
        self._own_ids = own_ids
        self.lines = LineTables()
        self._funcs: dict[int, list[FuncNote]] = defaultdict(list)
        self._waiting: dict[int, list[_Described]] = defaultdict(list)
        self._live: dict[int, int] = {}
        self._enumerated: dict[int, ProgNote] = {}
        self._named: set[int] = set()
        self._count = 0

    def note(self, note: ProgNote | FuncNote | LinesNote | StringsNote) -> None:
        """Remember what the probes said of a program."""
        if isinstance(note, FuncNote):
            self._funcs[note.key].append(note)
        elif isinstance(note, LinesNote):
            self.lines.add_lines(note)
        elif isinstance(note, StringsNote):
            self.lines.add_strings(note)
        else:
            # a program's own note comes last, so what is there under its key is its own;
            # the next program may have the same key before this one's event is read
            described = _Described(note, self._funcs.pop(note.key, []), self.lines.take(note.key))
            if note.preexisting:
                self._enumerate(described)
            else:
                self._waiting[note.start].append(described)

    def _enumerate(self, described: _Described) -> None:
        note = described.note
        if note.start in self._live:
            return
        index = self._new(note.start)
        self._enumerated[index] = note
        self._describe(index, described, preexisting=True, load_ts_ns=None)

    def loaded(self, start: int, ts_ns: int) -> int:
        """A program came to be at ``ts_ns``."""
        described = self._claim(start, ts_ns)
        index = self._live.get(start)
        seen = self._enumerated.get(index) if index is not None else None
        if index is not None and seen is not None and seen.ts_ns > ts_ns:
            # loaded while recording began, and enumerated before its event was read
            self.rows.append({"prog": index, "preexisting": False, "load_ts_ns": ts_ns})
            return index
        index = self._new(start)
        if described is None:
            self.rows.append({"prog": index, "preexisting": False, "load_ts_ns": ts_ns})
        else:
            self._describe(index, described, preexisting=False, load_ts_ns=ts_ns)
        return index

    def unloaded(self, start: int, ts_ns: int) -> int | None:
        """A program ended; its code's addresses may soon be another's."""
        index = self._live.pop(start, None)
        if index is not None:
            self.rows.append({"prog": index, "unload_ts_ns": ts_ns})
        return index

    def index(self, start: int, stack: FaultStackNote | None) -> int:
        """The program whose code starts at ``start`` now.

        One never heard of (its notes were lost) is described as far as ``stack`` does.
        """
        index = self._live.get(start)
        if index is None:
            index = self._new(start)
            self.rows.append({"prog": index})
        if index not in self._named and stack is not None and stack.start == start:
            self._named.add(index)
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

    def _claim(self, start: int, ts_ns: int) -> _Described | None:
        waiting = self._waiting.pop(start, [])
        ready = [described for described in waiting if described.note.ts_ns <= ts_ns]
        later = [described for described in waiting if described.note.ts_ns > ts_ns]
        if later:
            self._waiting[start] = later
        return ready[-1] if ready else None

    def _describe(
        self, index: int, described: _Described, *, preexisting: bool, load_ts_ns: int | None
    ) -> None:
        note = described.note
        own = note.id in self._own_ids
        funcs = [{"name": note.ksym or None, "start": note.start, "end": note.end}]
        funcs += [
            {"name": func.ksym or None, "start": func.start, "end": func.end}
            for func in described.funcs
        ]
        self._named.add(index)
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
                "lines": [] if own else self.lines.table(described.lines, note.btf_id),
            }
        )


def full_name(ksym: str, tag: str) -> str | None:
    """The function name in ``bpf_prog_<tag>_<name>``, which prog->aux->name cuts at 15 bytes.

    None where the symbol carries no name (bpf_get_prog_name() adds none for unnamed programs).
    """
    prefix = f"bpf_prog_{tag}_"
    return ksym.removeprefix(prefix) if ksym.startswith(prefix) and ksym != prefix else None


class Ledger:
    """Arenas, programs, stacks and symbols of one recording."""

    def __init__(self, type_names: Mapping[int, str], own_ids: set[int]) -> None:
        self.arenas = Arenas()
        self.programs = Programs(self.arenas, type_names, own_ids)
        self.stacks = StackTable()
        self.symbol_rows: list[Row] = []
        self._stacks: dict[tuple[int, int, int], FaultStackNote] = {}

    def note(self, note: Note) -> None:
        """Take one note, in the order of the note ring."""
        if isinstance(note, ArenaNote):
            self.arenas.note(note)
        elif isinstance(note, FaultStackNote):
            self._stacks[note.ts_ns, note.cpu, note.tid] = note
            if len(self._stacks) > _STACKS_KEPT:
                self._drop_stacks_before(note.ts_ns - _STACK_PATIENCE_NS)
        elif isinstance(note, PageStackNote):
            self.stacks.trace(note)
        elif isinstance(note, SymbolNote):
            self.stacks.symbol(note)
            self.symbol_rows.append(
                {
                    "ts_ns": note.ts_ns,
                    "addr": note.addr,
                    "name": note.name,
                    "offset": note.offset,
                    "size": note.size,
                    "module": note.module,
                }
            )
        else:
            self.programs.note(note)

    def start_files(self) -> list[int]:
        """New files begin; the rows of arenas and programs go into them by other means.

        Returns the BTF ids whose strings are let go of: a recording of days must not keep all.
        """
        self.stacks.start_files()
        return self.programs.lines.forget_strings(_STRINGS_KEPT)

    def _drop_stacks_before(self, ts_ns: int) -> None:
        """Forget stacks whose event was lost: it would have come long ago."""
        old = [key for key in self._stacks if key[0] < ts_ns]
        for key in old:
            del self._stacks[key]

    def claim_stack(self, ts_ns: int, cpu: int, tid: int) -> FaultStackNote | None:
        """The stack note of the event with this time, CPU and thread; each is given once."""
        return self._stacks.pop((ts_ns, cpu, tid), None)
