"""Rows of a trace directory from parsed reports."""

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
from arenatrace.importers.reports.records import Fault, OtherReport, Stamp
from arenatrace.importers.synthetic_code import SyntheticCode
from arenatrace.schema import BAND_SZ, UNTIMED_START, Kind, Level, Outcome
from arenatrace.trace.arrow_schema import arrow_schema
from arenatrace.trace.meta import Meta
from arenatrace.trace.writer import TraceWriter

_BATCH_ROWS = 8192
#: The kernel cuts program names to 15 bytes (BPF_OBJ_NAME_LEN) where it has no BTF.
_NAME_LEN = 15
#: Maximum number of oopses remembered to detect repeats.
_MAX_SEEN = 4096
#: Maximum number of distinct other reports that are counted per program.
_MAX_OTHER_REPORTS = 100

Row = dict[str, Any]


class TraceRows:
    """Writer of the reports of an import; creates the trace directory on the first row."""

    def __init__(self, path: Path, *, user_vm_start: int | None) -> None:
        self.path = path
        self.faults = 0
        self.losses: Counter[str] = Counter()
        self.other_reports: Counter[OtherReport] = Counter()
        self.repeated_oopses = 0
        self.unproven_oopses = 0
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
        """Return the sequence number of the next report, from 0."""
        self._orders += 1
        return self._orders - 1

    def other_report(self, report: OtherReport) -> None:
        """Count a report that is not a fault row."""
        if report not in self.other_reports and len(self.other_reports) >= _MAX_OTHER_REPORTS:
            report = replace(report, program=None)
        self.other_reports[report] += 1
        if report.lost:
            self.losses["reports cut off"] += 1

    def fault(self, fault: Fault, order: int, stamp: Stamp | None) -> bool:
        """Add a fault; return False for a repeated oops, which is dropped."""
        if fault.oops and self._is_repeated(fault, stamp):
            self.repeated_oopses += 1
            return False
        self.unproven_oopses += fault.oops and fault.arena_address is None
        self.faults += 1
        self.kernel = self.kernel or fault.kernel
        self._events.append(self._event(fault, order, stamp))
        if len(self._events) >= _BATCH_ROWS:
            self._flush()
        return True

    @property
    def wall_clock(self) -> bool:
        """Whether timestamps are wall-clock times."""
        return bool(self._wall)

    def close(self, meta: Meta) -> Path | None:
        """Write the remaining rows and seal the trace; return None if there was no report."""
        if not self.faults and not self.other_reports:
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
        """Delete the trace directory."""
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
            "uaddr": fault.arena_address.uaddr if fault.arena_address else fault.uaddr,
            "write": fault.write,
            "error_code": fault.error_code,
            "ip": addresses[0] if fault.has_ip and addresses else None,
            "prog": blamed,
            "stack": stack,
            "outcome": _outcome(fault),
        }

    def _blamed(self, fault: Fault, programs: dict[int, Program]) -> int | None:
        """Return the index of the blamed program, a program of the stack if the names match."""
        if fault.blamed is None:
            return None
        for program in programs.values():
            name = program.name
            if name is not None and name[:_NAME_LEN] == fault.blamed[:_NAME_LEN]:
                return self.code.program(program)
        return self.code.program(Program(None, fault.blamed))

    def _arena(self, fault: Fault) -> int | None:
        if fault.arena_address is not None:
            return self._arenas.setdefault(
                (fault.arena_address.kern_vm_start, None), len(self._arenas)
            )
        user = self._user_vm_start
        if user is None or fault.uaddr is None:
            return None
        # A reported address is clear_lo32(user_vm_start) plus a 32-bit offset.
        if (fault.uaddr ^ user) >= BAND_SZ:
            return None
        return self._arenas.setdefault((None, user), len(self._arenas))

    def _arena_rows(self) -> list[Row]:
        return [
            {"arena": index, "kern_vm_start": kern, "user_vm_start": user, "preexisting": True}
            for (kern, user), index in self._arenas.items()
        ]

    def _time(self, order: int, stamp: Stamp | None) -> int:
        """Return the timestamp in ns; without one, or with another clock, an order number."""
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
            # close() updates meta.json when the texts are read.
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
    """Return the outcome code, None for a recovered kernel-side fault.

    ``bpf_arena_handle_page_fault`` prints the same report whether the page was empty or already
    mapped, so the text does not show the outcome.
    """
    if fault.oops:
        return int(Outcome.OOPS)
    if fault.kernel_side:
        return None
    return int(Outcome.IGNORED if fault.write else Outcome.ZEROED)
