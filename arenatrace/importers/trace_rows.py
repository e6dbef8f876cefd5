"""What texts say to rows of a trace directory."""

from __future__ import annotations

import contextlib
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from arenatrace.errors import ArenatraceError
from arenatrace.importers.program_of_stack import Program
from arenatrace.importers.reports.records import Fault, Note, Stamp
from arenatrace.importers.synthetic_code import SyntheticCode
from arenatrace.schema import BAND_SZ, UNTIMED_START, Kind, Level, Outcome
from arenatrace.trace.arrow_schema import arrow_schema
from arenatrace.trace.meta import Meta
from arenatrace.trace.writer import TraceWriter

_BATCH_ROWS = 8192
#: The kernel cuts program names to 15 bytes (BPF_OBJ_NAME_LEN) where it has no BTF.
_NAME_LEN = 15
#: Oopses whose identity is remembered; logs that repeat themselves do so at once.
_MAX_SEEN = 4096
#: Kinds of note and their programs that are counted apart.
_MAX_NOTES = 100

Row = dict[str, Any]


class TraceRows:
    """Collects faults and notes; makes the trace directory when there is something to keep."""

    def __init__(self, path: Path, *, user_vm_start: int | None) -> None:
        self.path = path
        self.faults = 0
        self.losses: Counter[str] = Counter()
        self.notes: Counter[Note] = Counter()
        self.repeated_oopses = 0
        self.unplaced_oopses = 0
        self.other_clock = 0
        self.untimed = 0
        self.code = SyntheticCode()
        self.kernel: str | None = None
        self._user_vm_start = user_vm_start
        self._writer: TraceWriter | None = None
        self._events: list[Row] = []
        self._orders = 0
        self._arenas: dict[tuple[int | None, int | None], int] = {}
        self._seen: set[tuple[Any, ...]] = set()
        self._wall: bool | None = None
        self._first_ns: int | None = None
        self._last_ns: int | None = None

    def next_order(self) -> int:
        """The place of the next report among all, from 0."""
        self._orders += 1
        return self._orders - 1

    def note(self, note: Note) -> None:
        """Count a report that is no fault."""
        if note not in self.notes and len(self.notes) >= _MAX_NOTES:
            note = replace(note, program=None)
        self.notes[note] += 1
        if note.lost:
            self.losses["reports cut off"] += 1

    def fault(self, fault: Fault, order: int, stamp: Stamp | None) -> bool:
        """Add a fault; false if it is an oops the text already had, word for word."""
        if fault.oops and self._is_repeated(fault, stamp):
            self.repeated_oopses += 1
            return False
        self.unplaced_oopses += fault.oops and fault.place is None
        self.faults += 1
        self.kernel = self.kernel or fault.kernel
        self._events.append(self._event(fault, order, stamp))
        if len(self._events) >= _BATCH_ROWS:
            self._flush()
        return True

    @property
    def wall_clock(self) -> bool:
        """Whether times are of the wall clock."""
        return bool(self._wall)

    def close(self, meta: Meta) -> Path | None:
        """Write what is left and seal; None, and no directory, if there is nothing to keep."""
        if not self.faults and not self.notes:
            return None
        self._flush()
        writer = self._open()
        writer.append("programs", _batch("programs", list(self.code.program_rows())))
        writer.append("arenas", _batch("arenas", self._arena_rows()))
        writer.update_meta(
            kernel=meta.kernel,
            arch=meta.arch,
            hostname=meta.hostname,
            notices=meta.notices,
            imported=meta.imported,
            lost=dict(self.losses),
            start_ts_ns=self._first_ns or 0,
            end_ts_ns=self._last_ns,
        )
        path = writer.close()
        self._writer = None
        return path

    def discard(self) -> None:
        """Leave nothing behind."""
        if self._writer is not None:
            with contextlib.suppress(ArenatraceError):
                self._writer.close(seal=False)
            shutil.rmtree(self.path, ignore_errors=True)
            self._writer = None

    # ---- rows ----

    def _event(self, fault: Fault, order: int, stamp: Stamp | None) -> Row:
        stack, addresses, programs = self.code.stack(fault.frames, fault.blamed)
        innermost = programs[min(programs)] if programs else None
        arena = self._arena(fault)
        blamed = self._blamed(fault, programs)
        user = self.code.program(innermost) if innermost is not None else blamed
        if arena is not None and user is not None:
            self.code.uses_arena(user, arena)
        task = fault.task
        return {
            "ts_ns": self._time(order, stamp),
            "seq": order,
            "cpu": task.cpu if task else None,
            "tid": task.tid if task else None,
            "comm": task.comm if task else None,
            "kind": int(Kind.KERNEL_FAULT if fault.kernel_side else Kind.PROG_FAULT),
            "arena": arena,
            "addr": fault.kaddr,
            "uaddr": fault.place.uaddr if fault.place else fault.uaddr,
            "write": fault.write,
            "error_code": fault.error_code,
            "ip": addresses[0] if fault.has_ip and addresses else None,
            "prog": blamed,
            "stack": stack,
            "outcome": _outcome(fault),
        }

    def _blamed(self, fault: Fault, programs: dict[int, Program]) -> int | None:
        """The program the text names apart from the stack, as one of the stack if it can be."""
        if fault.blamed is None:
            return None
        for program in programs.values():
            name = program.name
            if name is not None and name[:_NAME_LEN] == fault.blamed[:_NAME_LEN]:
                return self.code.program(program)
        return self.code.program(Program(None, fault.blamed))

    def _arena(self, fault: Fault) -> int | None:
        if fault.place is not None:
            return self._arenas.setdefault((fault.place.kern_vm_start, None), len(self._arenas))
        user = self._user_vm_start
        if user is None or fault.uaddr is None:
            return None
        # The address is clear_lo32(user_vm_start) and an offset of 32 bits.
        if (fault.uaddr ^ user) >= BAND_SZ:
            return None
        return self._arenas.setdefault((None, user), len(self._arenas))

    def _arena_rows(self) -> list[Row]:
        return [
            {"arena": index, "kern_vm_start": kern, "user_vm_start": user, "preexisting": True}
            for (kern, user), index in self._arenas.items()
        ]

    def _time(self, order: int, stamp: Stamp | None) -> int:
        """The time of the first clock seen; of other clocks nothing but the order is kept."""
        if stamp is not None and self._wall is None:
            self._wall = stamp.wall
        if stamp is None or stamp.wall is not self._wall:
            self.other_clock += stamp is not None
            self.untimed += 1
            return UNTIMED_START + order
        known = [ns for ns in (self._first_ns, self._last_ns, stamp.ns) if ns is not None]
        self._first_ns, self._last_ns = min(known), max(known)
        return stamp.ns

    def _is_repeated(self, fault: Fault, stamp: Stamp | None) -> bool:
        if stamp is None:
            return False
        identity = (stamp.ns, fault.kaddr, fault.task)
        if identity in self._seen:
            return True
        if len(self._seen) < _MAX_SEEN:
            self._seen.add(identity)
        return False

    # ---- the directory ----

    def _open(self) -> TraceWriter:
        if self._writer is None:
            # The facts of the texts are known at the end and come into meta.json then.
            self._writer = TraceWriter(self.path, Meta(kernel="unknown", level=Level.FAULTS))
        return self._writer

    def _flush(self) -> None:
        code = self.code
        writer = self._open()
        for table, rows in (
            ("stacks", code.stack_rows),
            ("symbols", code.symbol_rows),
            ("events", self._events),
        ):
            if rows:
                writer.append(table, _batch(table, rows))
                rows.clear()
        writer.flush()


def _batch(table: str, rows: list[Row]) -> pa.RecordBatch:
    schema = arrow_schema(table)
    columns = [pa.array([row.get(f.name) for row in rows], f.type) for f in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _outcome(fault: Fault) -> int | None:
    """What became of the fault.

    A recovered kernel-side fault found its page still empty or already mapped: the report is
    the same (``bpf_arena_handle_page_fault`` reports either way), so the text cannot tell.
    """
    if fault.oops:
        return int(Outcome.OOPS)
    if fault.kernel_side:
        return None
    return int(Outcome.IGNORED if fault.write else Outcome.ZEROED)
