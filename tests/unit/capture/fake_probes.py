"""Probes whose rings are files, and sessions of them: BCC and a kernel are for the lab."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from arenatrace.capture.kernel.probe_points import POINTS, PointState
from arenatrace.capture.plan import Plan, Result
from arenatrace.capture.preflight import Kernel
from arenatrace.capture.probes.loader import Probes
from arenatrace.capture.probes.stack_cache import StackMismatch
from arenatrace.capture.ring.notes import NoteType
from arenatrace.capture.ring.ring_buffer import HEADER_BYTES
from arenatrace.capture.ring.ring_size import RingSizes
from arenatrace.capture.session import Session
from arenatrace.schema import (
    LOST_NOTES,
    Kind,
)
from arenatrace.trace.reader import open_trace
from tests.unit.capture.decode.make_records import records
from tests.unit.capture.kernel.kernel_blob import kernel
from tests.unit.capture.probes.c_header import structs
from tests.unit.capture.ring.make_notes import KERN_VM, PTR
from tests.unit.capture.ring.ring_file import RingFile

USER = 0x7F00_1000_0000


def note_head(kind: NoteType, ts_ns: int, key: int, size: int, flags: int = 0) -> bytearray:
    raw = bytearray(size)
    struct.pack_into("<IIQQ", raw, 0, kind, flags, ts_ns, key)
    return raw


def arena_note(ts_ns: int) -> bytes:
    raw = note_head(NoteType.ARENA, ts_ns, PTR, structs()["at_note_arena"].size)
    struct.pack_into("<QQ", raw, 24, KERN_VM, USER)
    return bytes(raw)


class FakeProbes:
    """Probes whose rings are files; ``late`` happens when they are stopped."""

    def __init__(self) -> None:
        self.ring_sizes = RingSizes(4096, 4096)
        self.rings = {"events": RingFile(4096), "notes": RingFile(4096)}
        self.attached = [point.function for point in POINTS if point.function != "free_module"]
        self.refused = {"free_module": "not today"}
        self.lost: dict[Kind, int] = {}
        self.late: list[dict[str, Any]] = []
        self.closed = 0
        self.switched: list[bool] = []
        self.mismatch: StackMismatch | None = None

    def send(self, *values: dict[str, Any]) -> None:
        """Put events into their ring."""
        for record in records(*values):
            assert self.rings["events"].produce(record.tobytes()[HEADER_BYTES:])

    def attach(self) -> None:
        """Attach nothing."""

    def set_recording(self, on: bool) -> None:
        """Start or stop; on stop, pending records arrive."""
        self.switched.append(on)
        if not on:
            self.send(*self.late)

    def run_iterators(self) -> None:
        """Enumerate nothing."""
        assert self.switched == [True]

    def map_fd(self, name: str) -> int:
        """The ring's file."""
        return self.rings[name].fd

    def open_callbacks(self, handlers: dict[str, Callable[[bytes], None]]) -> None:
        """Remember who takes what."""
        self.handlers = handlers

    def consume(self) -> None:
        """Call back for every record, as libbpf does: ring by ring, up to one not finished."""
        for name, take in self.handlers.items():
            for record in self.rings[name].open().notes():
                take(record)

    def own_program_ids(self) -> set[int]:
        """No programs."""
        return set()

    def recursion_misses(self) -> dict[str, int]:
        """One probe was skipped twice before the recording, and twice in it."""
        return {"kfunc__x": 4 if self.switched else 2}

    def lost_events(self) -> dict[int, list[tuple[int, int, int]]]:
        """Running totals, as the per-CPU counters give them."""
        return {int(kind): [(count, 10, 20)] for kind, count in self.lost.items()}

    def lost_notes(self) -> dict[str, int]:
        """One note was lost."""
        return {LOST_NOTES: 1}

    def stack_mismatch(self) -> StackMismatch | None:
        """What a test says of remembered stacks."""
        return self.mismatch

    def stack_cache_counts(self) -> dict[str, int]:
        """Stacks were asked for."""
        return {"recognised": 3000, "walked": 20, "learned": 9, "checked": 1}

    def close(self) -> None:
        """Detach."""
        self.closed += 1


def run(probes: FakeProbes, plan: Plan) -> Result:
    states = [PointState(point, True) for point in POINTS]
    session = Session(plan, cast(Probes, probes), Kernel(kernel(), {}, states))
    return session.run()


def events_of(path: Path) -> list[dict[str, Any]]:
    return open_trace(path).scan("events").collect().to_dicts()
