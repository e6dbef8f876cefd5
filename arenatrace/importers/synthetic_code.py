"""Synthetic code addresses: text has symbols, the tables need addresses.

Each function gets an address range from ``schema.SYNTHETIC_CODE_START`` on. Each frame gets the
address at its offset in the range, so that programs, lines and symbols resolve as in a recorded
trace. A frame that the kernel printed as a bare address keeps the address.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

from arenatrace.importers.program_of_stack import Program, programs_on_stack
from arenatrace.importers.reports.records import Frame, Source
from arenatrace.schema import SYNTHETIC_CODE_START, UNTIMED_START

#: Maximum number of functions, and of lines. Bounds memory for hostile input.
MAX_ENTRIES = 200_000
#: Maximum total characters of symbols and source lines. Bounds memory too.
_MAX_TEXT = 64 << 20
#: Stacks that are deduplicated; the cache is cleared when it has this many.
_MAX_STACKS = 4096

_ALIGN = 64

Row = dict[str, Any]


class SyntheticCode:
    """Assigns addresses to frames and collects the rows of symbols, stacks and programs."""

    def __init__(self) -> None:
        self.symbol_rows: list[Row] = []
        self.stack_rows: list[Row] = []
        #: Whether frames were dropped because a limit was reached.
        self.overflow = False
        self._next = SYNTHETIC_CODE_START
        self._text = 0
        self._programs: dict[Program, int] = {}
        self._arenas: dict[int, int] = {}
        #: Start by program (None in the kernel), symbol, size, module and variant.
        self._starts: dict[tuple[int | None, str, int, str | None, int], int] = {}
        self._lines: dict[int, Source | None] = {}
        self._symbols: set[int] = set()
        self._stacks: dict[tuple[int, ...], int] = {}
        self._next_stack = 1

    def program(self, program: Program) -> int:
        """Return the index of ``program`` in the table programs; add it if it is new."""
        return self._programs.setdefault(program, len(self._programs))

    def uses_arena(self, program: int, arena: int) -> None:
        """Record that ``program`` uses ``arena``; both are indexes."""
        self._arenas[program] = arena

    def stack(
        self, frames: Sequence[Frame], blamed: str | None
    ) -> tuple[int | None, list[int], dict[int, Program]]:
        """Return a stack's id (None if empty), its addresses and its programs by frame index."""
        programs = programs_on_stack(frames, blamed)
        addresses = []
        for at, frame in enumerate(frames):
            owner = programs.get(at)
            address = self._address(frame, at, None if owner is None else self.program(owner))
            if address is not None:
                addresses.append(address)
        return self._stack_id(tuple(addresses)), addresses, programs

    def program_rows(self) -> Iterator[Row]:
        """Yield the rows of the table programs collected so far."""
        pcs = sorted(self._lines)
        parts: dict[int, list[tuple[str, int, int]]] = {}
        for (owner, symbol, size, _, _), start in self._starts.items():
            if owner is not None:
                parts.setdefault(owner, []).append((symbol, start, size))
        for program, index in self._programs.items():
            main = f"bpf_prog_{program.tag}_"
            funcs = sorted(
                parts.get(index, []), key=lambda part: (not part[0].startswith(main), part[1])
            )
            yield {
                "prog": index,
                "name": program.name,
                "tag": program.tag,
                "arena": self._arenas.get(index),
                "funcs": [
                    {"name": symbol, "start": start, "end": start + max(size, 1)}
                    for symbol, start, size in funcs
                ],
                "lines": self._line_rows(funcs, pcs),
            }

    def _line_rows(self, funcs: list[tuple[str, int, int]], pcs: list[int]) -> list[Row]:
        rows = []
        for _, start, size in sorted(funcs, key=lambda part: part[1]):
            for pc in pcs[bisect_left(pcs, start) : bisect_left(pcs, start + max(size, 1))]:
                source = self._lines[pc]
                rows.append(
                    {
                        "addr": pc,
                        "file": source.file if source else None,
                        "line": source.line if source else None,
                        "text": source.text if source else None,
                    }
                )
        return rows

    def _address(self, frame: Frame, at: int, owner: int | None) -> int | None:
        if frame.address is not None:
            return frame.address
        if frame.offset > frame.size:
            # The line is damaged. An offset equal to the size is valid: a return address.
            return None
        # The same tag can have different source lines, for example after a rebuild with edited
        # comments. Each variant of the function gets an address range of its own.
        for variant in count():
            start = self._start(frame, owner, variant)
            if start is None:
                return None
            address = start + frame.offset
            if owner is None or self._add_line(frame, address - bool(at)):
                self._add_symbol(frame, address)
                return address
        raise AssertionError("unreachable")  # count() has no end

    def _add_line(self, frame: Frame, pc: int) -> bool:
        """Record the frame's source line at ``pc``; return False if ``pc`` has a different line.

        A frame without a source line is recorded too: it ends the range of the line before it.
        """
        if pc not in self._lines:
            text = frame.source.file + frame.source.text if frame.source else ""
            if not self._has_room(len(self._lines), text):
                return True
            self._lines[pc] = frame.source
        return self._lines[pc] == frame.source

    def _start(self, frame: Frame, owner: int | None, variant: int) -> int | None:
        key = (owner, frame.symbol, frame.size, frame.module, variant)
        start = self._starts.get(key)
        if start is None:
            if not self._has_room(len(self._starts), frame.symbol):
                return None
            start = self._starts[key] = self._next
            # The gap leaves room for the return address of a call at the end of the function.
            self._next += (frame.size // _ALIGN + 2) * _ALIGN
        return start

    def _has_room(self, entries: int, text: str) -> bool:
        self._text += len(text)
        room = entries < MAX_ENTRIES and self._text <= _MAX_TEXT
        self.overflow |= not room
        return room

    def _add_symbol(self, frame: Frame, address: int) -> None:
        if address in self._symbols or len(self._symbols) >= MAX_ENTRIES:
            return
        self._symbols.add(address)
        self.symbol_rows.append(
            {
                "ts_ns": UNTIMED_START,
                "addr": address,
                "name": frame.symbol,
                "offset": frame.offset,
                "size": frame.size,
                "module": frame.module,
            }
        )

    def _stack_id(self, addresses: tuple[int, ...]) -> int | None:
        if not addresses:
            return None
        known = self._stacks.get(addresses)
        if known is not None:
            return known
        if len(self._stacks) >= _MAX_STACKS:
            self._stacks.clear()
        number = self._stacks[addresses] = self._next_stack
        self._next_stack += 1
        self.stack_rows.append({"stack": number, "frames": list(addresses)})
        return number
