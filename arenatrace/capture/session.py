"""One recording: attach, drain, write, seal."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import pyarrow as pa

from arenatrace.capture import host, privileges, profile
from arenatrace.capture.btf import Btf
from arenatrace.capture.decode import Decoder
from arenatrace.capture.layout import offsets
from arenatrace.capture.ledger import Ledger, Row
from arenatrace.capture.loader import Probes, import_bcc, require_headers
from arenatrace.capture.notes import parse
from arenatrace.capture.points import PointState, require_essential, survey
from arenatrace.capture.ring import MappedRing
from arenatrace.errors import UsageError
from arenatrace.schema import Kind
from arenatrace.trace.arrow_schema import arrow_schema
from arenatrace.trace.meta import Meta, MissingProbe
from arenatrace.trace.meta import Probes as ProbesMeta
from arenatrace.trace.writer import TraceWriter

#: Seconds between two looks at the rings, between flushes, and between progress reports.
POLL_S = 0.05
FLUSH_S = 1.0
PROGRESS_S = 0.5


@dataclass(frozen=True)
class Progress:
    """Live counts for whoever shows them."""

    elapsed_s: float
    counts: dict[Kind, int]
    lost: int


@dataclass(frozen=True)
class Plan:
    """What to record. ``duration_s`` None: until interrupted or the command ends."""

    path: Path
    duration_s: float | None = None
    command: tuple[str, ...] = ()
    on_progress: Callable[[Progress], None] = lambda _progress: None
    on_status: Callable[[str], None] = lambda _text: None


@dataclass
class Result:
    """How a recording ended."""

    path: Path
    counts: dict[Kind, int]
    lost: dict[str, int]
    notices: list[str] = field(default_factory=list)
    command_status: int | None = None


def record(plan: Plan) -> Result:
    """Record as ``plan`` says and seal the trace.

    Raises:
        UnsupportedError: no privileges, no BTF, no handler, no headers or no BCC.
        UsageError: the output exists or cannot be made, or the command cannot be started.
        ArenatraceError: the disk is full or failed; what was written until then is valid.
    """
    privileges.require()
    btf = Btf.of_running_kernel()
    found = offsets(btf)
    states = survey(btf, found)
    require_essential(states)
    import_bcc()
    require_headers(host.release())
    _check_output(plan.path)
    _check_command(plan.command)
    plan.on_status("compiling and attaching probes")
    probes = Probes(states, found)
    try:
        with _Session(plan, probes, states, btf) as session:
            return session.run()
    finally:
        probes.close()


def _check_output(path: Path) -> None:
    """Refuse what the writer would refuse, before compiling for seconds."""
    if path.exists() or path.is_symlink():
        raise UsageError(f"{path}: exists already", "choose another name with -o, or move it away")
    if not path.parent.is_dir():
        raise UsageError(
            f"{path}: the directory {path.parent} does not exist", f"mkdir -p {path.parent}"
        )
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise UsageError(
            f"{path}: the directory {path.parent} cannot be written to",
            "choose a directory you may write to with -o",
        )


def _check_command(command: tuple[str, ...]) -> None:
    if command and shutil.which(command[0]) is None:
        raise UsageError(
            f"cannot start {command[0]}: no such program",
            "check the command after --; nothing was recorded",
        )


class _Session:
    """The running recording; stops at a signal, the duration or the command's end."""

    def __init__(self, plan: Plan, probes: Probes, states: list[PointState], btf: Btf) -> None:
        self._plan = plan
        self._probes = probes
        self._states = states
        self._stop = False
        self._features = profile.features(btf)
        self._lost_seen: dict[str, int] = {}
        self._bad_notes = 0
        self._types = {
            value: name.removeprefix("BPF_PROG_TYPE_").lower()
            for value, name in btf.enumerators("bpf_prog_type").items()
        }

    def __enter__(self) -> _Session:
        self._probes.attach()
        self._events = MappedRing(self._probes.map_fd("events"), self._probes.event_bytes)
        self._notes = MappedRing(self._probes.map_fd("notes"), self._probes.note_bytes)
        self._start_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        attached = self._probes.attached
        self._ledger = Ledger(self._types, self._probes.own_program_ids())
        self._decoder = Decoder(self._ledger, can_see_pte="apply_range_set_scratch_cb" in attached)
        self._writer = TraceWriter(self._plan.path, self._meta(attached))
        return self

    def __exit__(self, *_exc: object) -> None:
        # after an error the trace stays as it is, flushed and readable
        self._writer.close(seal=False)

    def run(self) -> Result:
        """Drain until told to stop; returns once the trace is sealed."""
        with _signals(self._on_signal):
            self._probes.run_iterators()
            self._drain()
            self._plan.on_status("recording")
            child = self._start_command()
            try:
                self._loop(child)
            finally:
                status = _end_command(child)
        self._finish()
        notices = self._notices()
        self._writer.update_meta(
            end_ts_ns=time.clock_gettime_ns(time.CLOCK_MONOTONIC),
            lost=self._losses(),
            notices=tuple(notices),
            command_status=status,
        )
        self._writer.close(seal=True)
        counts = dict(self._decoder.counts)
        return Result(self._plan.path, counts, self._losses(), notices, status)

    def _loop(self, child: subprocess.Popen[bytes] | None) -> None:
        started = time.monotonic()
        next_flush = next_progress = started
        while not self._stop:
            ended = child is not None and child.poll() is not None
            took = self._drain()
            now = time.monotonic()
            if now >= next_flush:
                self._count_losses()
                self._writer.flush(durable=True)
                next_flush = now + FLUSH_S
            if now >= next_progress:
                self._plan.on_progress(self._progress(now - started))
                next_progress = now + PROGRESS_S
            limit = self._plan.duration_s
            if ended or (limit is not None and now - started >= limit):
                return
            if not took:
                time.sleep(POLL_S)

    def _finish(self) -> None:
        """Take what is on its way, stop the probes, take the rest."""
        self._count_losses()
        self._missed = self._probes.recursion_misses()
        self._lost_notes = self._probes.lost_notes()
        self._probes.close()
        while self._drain():
            pass
        self._writer.flush()

    def _drain(self) -> int:
        """Move everything finished from the rings to the trace; events taken."""
        # Notes come before the events that need them: whatever the event ring holds now,
        # its notes are in the note ring by now.
        until = self._events.produced
        for raw in self._notes.notes():
            try:
                self._ledger.note(parse(raw))
            except ValueError:
                self._bad_notes += 1
        records, position = self._events.events(until)
        batch = self._decoder.batch(records) if len(records) else None
        self._write_facts()
        if batch is not None:
            self._writer.append("events", batch)
        self._events.advance(position)
        return len(records)

    def _write_facts(self) -> None:
        ledger = self._ledger
        for table, rows in (
            ("arenas", ledger.arenas.rows),
            ("programs", ledger.programs.rows),
            ("stacks", ledger.stack_rows),
            ("symbols", ledger.symbol_rows),
        ):
            if rows:
                self._writer.append(table, _batch(table, rows))
                rows.clear()

    def _count_losses(self) -> None:
        """Put a row into the trace for what was lost since the last look."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        codes = {kind.label: int(kind) for kind in Kind}
        for label, total in self._probes.lost_events().items():
            fresh = total - self._lost_seen.get(label, 0)
            if fresh > 0:
                row = self._decoder.lost(now, codes.get(label, 0), fresh)
                self._writer.append("events", row)
                self._lost_seen[label] = total

    def _losses(self) -> dict[str, int]:
        losses = dict(self._lost_seen)
        losses.update({f"missed by {name}": n for name, n in self._missed.items()})
        if self._lost_notes:
            losses["notes"] = self._lost_notes
        return losses

    def _notices(self) -> list[str]:
        notices = [
            f"probe refused by the kernel: {name}: {why}"
            for name, why in self._probes.refused.items()
        ]
        if self._decoder.unrelated_oopses:
            notices.append(
                f"{self._decoder.unrelated_oopses} kernel fault(s) outside any arena, with no "
                "BPF program on the stack, were left out"
            )
        if self._bad_notes:
            notices.append(f"{self._bad_notes} note(s) from the probes could not be read")
        if self._lost_notes:
            notices.append(
                f"{self._lost_notes} note(s) lost: names, source lines or stacks may be missing"
            )
        return notices

    def _progress(self, elapsed_s: float) -> Progress:
        return Progress(elapsed_s, dict(self._decoder.counts), sum(self._lost_seen.values()))

    def _start_command(self) -> subprocess.Popen[bytes] | None:
        command = self._plan.command
        if not command:
            return None
        try:
            return subprocess.Popen(command)
        except OSError as exc:
            raise UsageError(
                f"cannot start {command[0]}: {exc.strerror}",
                "check the command after --; nothing was recorded of it",
            ) from exc

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stop = True

    def _meta(self, attached: list[str]) -> Meta:
        missing = tuple(
            MissingProbe(state.point.function, state.point.gives)
            for state in self._states
            if state.point.function not in attached
        )
        points = {state.point.function: state.present for state in self._states}
        return Meta(
            kernel=host.release(),
            hostname=host.name(),
            boot_id=host.boot_id(),
            wall_offset_ns=host.wall_offset_ns(),
            level="pages",
            start_ts_ns=self._start_ns,
            probes=ProbesMeta(tuple(attached), missing),
            command=self._plan.command or None,
            features={**points, **self._features},
            profile=profile.detect(self._features),
        )


def _batch(table: str, rows: list[Row]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(rows, schema=arrow_schema(table))


def _end_command(child: subprocess.Popen[bytes] | None) -> int | None:
    """Exit status of the command, which is asked to end if it still runs."""
    if child is None:
        return None
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(5)
        except subprocess.TimeoutExpired:
            child.kill()
    return child.wait()


@contextlib.contextmanager
def _signals(handler: Callable[[int, FrameType | None], Any]) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the recording cleanly."""
    numbers: Sequence[signal.Signals] = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    saved = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, previous in saved.items():
            signal.signal(number, previous)
