"""Arenas, programs, stacks and symbols of one recording, from the notes in ring order."""

from __future__ import annotations

from collections.abc import Mapping

from arenatrace.capture.identity.arenas import Arenas, Row
from arenatrace.capture.identity.programs import Programs
from arenatrace.capture.identity.stack_table import StackTable
from arenatrace.capture.ring.notes import (
    ArenaNote,
    FaultStackNote,
    Note,
    PageStackNote,
    SymbolNote,
)

#: A stack precedes its event directly, unless the task is preempted in between. Above this number
#: of stacks without event, those older than the grace period are dropped.
_MAX_PENDING_STACKS = 4096
_STACK_GRACE_NS = 60_000_000_000
_MAX_STRINGS_BYTES = 64 << 20


class Ledger:
    """Arenas, programs, stacks and symbols of one recording."""

    def __init__(self, type_names: Mapping[int, str], own_ids: set[int]) -> None:
        self.arenas = Arenas()
        self.programs = Programs(self.arenas, type_names, own_ids)
        self.stacks = StackTable()
        self.symbol_rows: list[Row] = []
        self._fault_stacks: dict[tuple[int, int, int], FaultStackNote] = {}

    def note(self, note: Note) -> None:
        """Take one note, in ring order."""
        if isinstance(note, ArenaNote):
            self.arenas.note(note)
        elif isinstance(note, FaultStackNote):
            self._fault_stacks[note.ts_ns, note.cpu, note.tid] = note
            if len(self._fault_stacks) > _MAX_PENDING_STACKS:
                self._drop_stacks_before(note.ts_ns - _STACK_GRACE_NS)
        elif isinstance(note, PageStackNote):
            self.stacks.add_page_stack(note)
        elif isinstance(note, SymbolNote):
            self.stacks.add_symbol(note)
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
        """Prepare for new files; the caller writes the rows of live arenas and programs.

        Returns the BTF ids whose strings are dropped, which bounds the memory of a long recording.
        """
        self.stacks.start_files()
        return self.programs.lines.forget_strings(_MAX_STRINGS_BYTES)

    def _drop_stacks_before(self, ts_ns: int) -> None:
        """Drop stacks whose event was lost."""
        old = [key for key in self._fault_stacks if key[0] < ts_ns]
        for key in old:
            del self._fault_stacks[key]

    def claim_stack(self, ts_ns: int, cpu: int, tid: int) -> FaultStackNote | None:
        """Remove and return the stack of the event with this time, CPU and thread."""
        return self._fault_stacks.pop((ts_ns, cpu, tid), None)
