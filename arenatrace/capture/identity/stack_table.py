"""Stacks to the ids of the table ``stacks``, each stack written once."""

from __future__ import annotations

from typing import Any

from arenatrace.capture.ring.notes import PageStackNote, SymbolNote

#: What the kernel calls the code from which it calls probes, and how deep below one it may lie.
_TRAMPOLINE = "bpf_trampoline_"
_DEPTH = 3

Frames = tuple[int, ...]


class StackTable:
    """Ids by frames, and the stacks of page operations by the hash their events carry.

    ``rows`` are those not written yet; whoever writes them clears the list.
    """

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self._count = 0
        self._ids: dict[Frames, int] = {}
        self._traces: dict[int, Frames] = {}
        self._older_traces: dict[int, Frames] = {}
        self._trampolines: set[int] = set()

    def symbol(self, note: SymbolNote) -> None:
        """Learn where the probes are called from."""
        if note.name is not None and note.name.startswith(_TRAMPOLINE):
            self._trampolines.add(note.addr)

    def trace(self, note: PageStackNote) -> None:
        """Take the stack of page operations; the symbols of its frames follow."""
        self._traces[note.hash] = note.frames

    @property
    def has_traces(self) -> bool:
        """Whether stacks of page operations were ever sent."""
        return bool(self._traces or self._older_traces)

    def of_trace(self, trace_hash: int) -> int | None:
        """Id of the stack with this hash; None if it was never sent."""
        frames = self._traces.get(trace_hash)
        if frames is None:
            frames = self._older_traces.get(trace_hash)
        if frames is None:
            return None
        return self.id_of(self._without_probe(frames))

    def _without_probe(self, frames: Frames) -> Frames:
        """The stack from what was probed on: on top are the probe itself and its trampoline."""
        ours = [at for at, frame in enumerate(frames[:_DEPTH]) if frame in self._trampolines]
        return frames[ours[0] + 1 :] if ours else frames

    def of_fault(self, frames: Frames, ip: int) -> int:
        """Id of the stack from the faulting instruction on.

        What lies above it, the exception path and the probes' own trampolines, says nothing
        about the fault and is left off. Where the instruction is not on the stack that was
        walked, it is put on top of all of it.
        """
        return self.id_of(frames[frames.index(ip) :] if ip in frames else (ip, *frames))

    def id_of(self, frames: Frames) -> int:
        """Id of exactly these frames, with a row for them if they are new."""
        known = self._ids.get(frames)
        if known is None:
            # ids start at 1: 0 means "no stack" to the probes
            self._count += 1
            known = self._ids[frames] = self._count
            self.rows.append({"stack": known, "frames": list(frames)})
        return known

    def start_files(self) -> None:
        """New files begin: what is referred to from here on is written again, under a new id.

        Events that were sent before the probes heard of it still find their stacks.
        """
        self._ids.clear()
        self._older_traces, self._traces = self._traces, {}
