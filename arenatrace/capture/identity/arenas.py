"""Arenas of a recording by pointer."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from arenatrace.capture.ring.notes import ArenaNote
from arenatrace.schema import BAND_SZ, GUARD_SZ

Row = dict[str, Any]


class Arenas:
    """Indices of arenas by pointer, and rows of the table ``arenas``.

    The kernel reuses pointers: one means the same arena only from creation to destruction.
    ``rows`` are not written yet; the writer clears the list.
    """

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.kern_vm_start: list[int] = []
        self.user_vm_start: list[int] = []
        self._live: dict[int, int] = {}
        self._enumerated_at: dict[int, int] = {}
        #: Arenas created during the recording and not destroyed yet.
        self.open_indices: set[int] = set()
        self._reuses: dict[int, int] = defaultdict(int)
        self._pending: dict[int, list[ArenaNote]] = defaultdict(list)

    def note(self, note: ArenaNote) -> None:
        """Take a note about an arena. It applies when the arena's event is read."""
        if not note.preexisting:
            self._pending[note.ptr].append(note)
            return
        if note.ptr not in self._live:
            index = self._new(note.ptr, preexisting=True)
            self._enumerated_at[index] = note.ts_ns
        self._apply(note.ptr, note)

    def created(self, ptr: int, ts_ns: int) -> int:
        """Return the index of an arena created at ``ts_ns``."""
        index = self._live.get(ptr)
        if index is not None and self._enumerated_at.get(index, 0) > ts_ns:
            # created while the recording began: enumerated before its event was read
            self.rows.append({"arena": index, "preexisting": False, "create_ts_ns": ts_ns})
        else:
            index = self._new(ptr, preexisting=False, create_ts_ns=ts_ns)
        self.open_indices.add(index)
        # older notes belong to an arena whose end was lost
        for note in self._take_notes(ptr, ts_ns)[-1:]:
            self._apply(ptr, note)
        return index

    def mapped(self, ptr: int, ts_ns: int) -> int:
        """Return the index of an arena that user space mapped; its user range is now fixed."""
        index = self.index(ptr)
        for note in self._take_notes(ptr, ts_ns):
            self._apply(ptr, note)
        return index

    def destroyed(self, ptr: int, ts_ns: int) -> int:
        """Return the index of a destroyed arena; its pointer may be reused."""
        index = self.index(ptr)
        self.rows.append({"arena": index, "destroy_ts_ns": ts_ns})
        del self._live[ptr]
        self.open_indices.discard(index)
        self._take_notes(ptr, ts_ns)
        return index

    def index(self, ptr: int) -> int:
        """Return the index of the arena at ``ptr`` now; an unknown one is pre-existing."""
        index = self._live.get(ptr)
        return self._new(ptr, preexisting=True) if index is None else index

    def at_address(self, kaddr: int) -> int | None:
        """Return the live arena whose kernel vm area, guards included, contains ``kaddr``."""
        for index in self._live.values():
            start = self.kern_vm_start[index] - GUARD_SZ // 2
            if self.kern_vm_start[index] and start <= kaddr < start + BAND_SZ + GUARD_SZ:
                return index
        return None

    def all_placed(self) -> bool:
        """Return whether the kernel address of every live arena is known."""
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
                "generation": self._reuses[ptr],
                "preexisting": preexisting,
                "create_ts_ns": create_ts_ns,
            }
        )
        self._reuses[ptr] += 1
        return index

    def _take_notes(self, ptr: int, ts_ns: int) -> list[ArenaNote]:
        """Remove and return the notes up to ``ts_ns``."""
        notes = self._pending.pop(ptr, [])
        later = [note for note in notes if note.ts_ns > ts_ns]
        if later:
            self._pending[ptr] = later
        return [note for note in notes if note.ts_ns <= ts_ns]

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
