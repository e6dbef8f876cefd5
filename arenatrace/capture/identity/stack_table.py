"""Ids of stacks in the table ``stacks``; each stack is written once."""

from __future__ import annotations

from typing import Any

from arenatrace.capture.ring.notes import PageStackNote, SymbolNote

#: Symbol prefix of the kernel's trampolines, which call the probes, and the frames to search.
_TRAMPOLINE = "bpf_trampoline_"
_DEPTH = 3

Frames = tuple[int, ...]


class StackTable:
    """Stack ids by frames, and stacks of page operations by the hash in their events.

    ``rows`` are not written yet; the writer clears the list.
    """

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self._count = 0
        self._ids: dict[Frames, int] = {}
        self._page_stacks: dict[int, Frames] = {}
        self._older_page_stacks: dict[int, Frames] = {}
        self._trampolines: set[int] = set()

    def add_symbol(self, note: SymbolNote) -> None:
        """Remember the addresses of trampolines."""
        if note.name is not None and note.name.startswith(_TRAMPOLINE):
            self._trampolines.add(note.addr)

    def add_page_stack(self, note: PageStackNote) -> None:
        """Take the stack of page operations; the symbols of its frames follow."""
        self._page_stacks[note.hash] = note.frames

    @property
    def has_page_stacks(self) -> bool:
        """Return whether any stack of a page operation was sent."""
        return bool(self._page_stacks or self._older_page_stacks)

    def of_page_operation(self, stack_hash: int) -> int | None:
        """Return the id of the stack with this hash; None if it was never sent."""
        frames = self._page_stacks.get(stack_hash)
        if frames is None:
            frames = self._older_page_stacks.get(stack_hash)
        if frames is None:
            return None
        return self.id_of(self._without_probe(frames))

    def _without_probe(self, frames: Frames) -> Frames:
        """Return the stack from the probed function on, without the probe and its trampoline."""
        found = [at for at, frame in enumerate(frames[:_DEPTH]) if frame in self._trampolines]
        return frames[found[0] + 1 :] if found else frames

    def of_fault(self, frames: Frames, ip: int) -> int:
        """Return the id of the stack from the faulting instruction on.

        The frames above it, the exception path and the probes' trampolines, are left out. If the
        instruction is not on the stack, it is put on top.
        """
        return self.id_of(frames[frames.index(ip) :] if ip in frames else (ip, *frames))

    def id_of(self, frames: Frames) -> int:
        """Return the id of exactly these frames; new frames get a row."""
        known = self._ids.get(frames)
        if known is None:
            # ids start at 1: 0 means "no stack" to the probes
            self._count += 1
            known = self._ids[frames] = self._count
            self.rows.append({"stack": known, "frames": list(frames)})
        return known

    def start_files(self) -> None:
        """Start new files: stacks are written again, under new ids.

        Events sent before the probes noticed still find their stacks.
        """
        self._ids.clear()
        self._older_page_stacks, self._page_stacks = self._page_stacks, {}
