"""One recording: attach, drain, write, seal."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from arenatrace.capture.decode.decoder import Decoder
from arenatrace.capture.drain import Drain
from arenatrace.capture.flight.folder import SEGMENTS, FlightFolder, check_folder
from arenatrace.capture.flight.writer import FlightWriter
from arenatrace.capture.fsync import FsyncThread
from arenatrace.capture.identity.ledger import Ledger
from arenatrace.capture.kernel.probe_points import level_macros
from arenatrace.capture.plan import Plan, Progress, Result
from arenatrace.capture.preflight import Kernel
from arenatrace.capture.probes.loader import Probes
from arenatrace.capture.probes.stack_cache import detect_stack_cache
from arenatrace.capture.process.command import Command, check_command, describe_exit
from arenatrace.capture.process.priority import raise_priority
from arenatrace.capture.process.signals import StopSignals
from arenatrace.capture.process.sudo_user import find_sudo_user, give
from arenatrace.capture.session_meta import limits, meta_of
from arenatrace.errors import IncompleteError, UnsupportedError, UsageError
from arenatrace.schema import Level
from arenatrace.trace.meta import Meta
from arenatrace.trace.writer import TraceWriter

#: Seconds between polls of the rings, between flushes, and between progress reports.
POLL_S = 0.05
FLUSH_S = 1.0
PROGRESS_S = 1.0
#: Grace period for running probes when the recording ends, s; they take microseconds.
SETTLE_S = 0.02
#: Time that the arenas of an ended command have to be destroyed, s: a kernel worker does it after a
#: grace period, when nothing has them open any more.
LINGER_S = 1.0


def record(plan: Plan) -> Result:
    """Record as ``plan`` says and seal the trace.

    On any exception the recorded command has ended or was asked to end.

    Raises:
        UnsupportedError: privileges, BTF, the handler, headers, BCC, or memory for the rings
            are missing.
        UsageError: the output exists or cannot be made, or the command cannot be started.
        ArenatraceError: the disk is full or failed; rows written before are valid.
    """
    kernel = Kernel.detect(plan.level, without_recovery=plan.without_recovery)
    if plan.flight is None:
        check_output(plan.path)
    else:
        check_folder(plan.path)
    check_command(plan.command)
    plan.rings.require_memory()
    plan.on_status("compiling and attaching probes")
    probes = _compile(plan, kernel)
    try:
        return Session(plan, probes, kernel).run()
    except OSError as exc:
        raise UnsupportedError(
            f"the kernel refused an operation of the recorder: {exc.strerror or exc}",
            "see dmesg; memory limits of a container or cgroup are a common reason",
        ) from exc
    finally:
        probes.close()
        owner = find_sudo_user()
        if owner is not None and plan.path.is_dir():
            for window in plan.path.glob("*.atrace") if plan.flight is not None else ():
                give(window, owner)
            give(plan.path, owner)


def dry_run(plan: Plan) -> tuple[list[str], dict[str, str]]:
    """Attach every probe of ``plan`` and detach it; nothing is recorded or written.

    Returns the attached points, and the refused ones with the kernel's reason. Raises
    UnsupportedError as ``record`` does, and UsageError for filters that match nothing.
    """
    kernel = Kernel.detect(plan.level, without_recovery=plan.without_recovery)
    plan.rings.require_memory()
    probes = _compile(plan, kernel)
    try:
        probes.attach()
        _set_filters(plan, probes)
        return probes.attached, probes.refused
    finally:
        probes.close()


def _compile(plan: Plan, kernel: Kernel) -> Probes:
    macros = (*level_macros(plan.level), *plan.filters.macros())
    remember = plan.level == Level.STACKS and not plan.walk_every_stack
    cache = detect_stack_cache(kernel.btf) if remember else None
    probes = Probes(kernel.states, kernel.offsets, plan.rings, macros=macros, cache=cache)
    if remember and not probes.uses_stack_cache:
        plan.on_status("no stack cache on this kernel: every stack is walked, which costs more")
    return probes


def _set_filters(plan: Plan, probes: Probes) -> None:
    """Set the filters; raise UsageError for one that matches nothing."""
    if plan.filters:
        probes.set_filters(plan.filters)
        plan.filters.check(probes.existing_objects())


def check_output(path: Path) -> None:
    """Raise UsageError for an output that the writer would refuse, before compiling."""
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


class Session:
    """A running recording. It ends at a signal, the duration, or the end of the command."""

    def __init__(self, plan: Plan, probes: Probes, kernel: Kernel) -> None:
        self._plan = plan
        self._probes = probes
        self._kernel = kernel
        self._stops = StopSignals()
        self._command: Command | None = None
        self._began_s = 0.0

    def run(self) -> Result:
        """Record until the end; return when the trace is sealed.

        Signals are deferred to the very end: a second Ctrl-C must not leave a trace without its
        loss counts.
        """
        with self._stops:
            self._probes.attach()
            _set_filters(self._plan, self._probes)
            start_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
            types = {
                value: name.removeprefix("BPF_PROG_TYPE_").lower()
                for value, name in self._kernel.btf.enumerators("bpf_prog_type").items()
            }
            self._decoder = Decoder(Ledger(types, self._probes.own_program_ids()))
            writer = self._writer(meta_of(self._plan, self._probes, self._kernel, start_ns))
            try:
                self._drain = Drain(self._probes, self._decoder.ledger, self._decoder, writer)
                if self._drain.notice:
                    self._plan.on_status(self._drain.notice)
                    writer.update_meta(notices=(*limits(self._probes), self._drain.notice))
                with FsyncThread(self._plan.path, FLUSH_S, self._streams), raise_priority():
                    self._record_or_stop(writer)
                self._report_stack_cache()
                self._plan.on_status("sealing")
                return self._seal(writer)
            except Exception:
                self._abandon(writer)
                raise
            finally:
                # after an error the trace stays as it is, flushed and readable
                writer.close(seal=False)
                if self._command is not None:
                    self._command.reap()

    def _writer(self, meta: Meta) -> TraceWriter | FlightWriter:
        flight = self._plan.flight
        if flight is None:
            return TraceWriter(self._plan.path, meta)
        folder = FlightFolder(self._plan.path)
        salvaged = folder.salvage()
        if salvaged is not None:
            self._plan.on_status(f"the last recorder here was cut off: {salvaged.name}")
        return FlightWriter(folder, meta, flight, self._start_files, self._plan.on_status)

    def _start_files(self) -> None:
        """Have everything sent and written again that later rows refer to."""
        self._probes.start_files(self._decoder.ledger.start_files())

    @property
    def _streams(self) -> str:
        """Return the pattern of the files being written, below the output."""
        return "*.arrows" if self._plan.flight is None else f"{SEGMENTS}/*/*.*"

    def _record(self, writer: TraceWriter | FlightWriter) -> None:
        """Run from the first event to the last."""
        self._probes.set_recording(True)
        self._probes.run_iterators()
        self._drain.take()
        self._command = self._start_command()
        self._loop(writer)
        if self._command is not None:
            self._await_arenas()
        self._probes.set_recording(False)
        # a probe that passed the check just before may not have reserved its record yet
        time.sleep(SETTLE_S)
        self._drain.take_rest()
        self._drain.count_losses()
        writer.flush()

    def _loop(self, writer: TraceWriter | FlightWriter) -> None:
        started = self._began_s = time.monotonic()
        next_flush = next_progress = started
        while True:
            over = self._is_over()
            now = time.monotonic()
            took = self._drain.take_ready() if now >= next_flush or self._drain.due else 0
            if now >= next_flush:
                self._flush(writer)
                next_flush = now + FLUSH_S
            if now >= next_progress:
                self._plan.on_progress(self._progress(now - started))
                next_progress = now + PROGRESS_S
            if over:
                return
            if not took:
                time.sleep(POLL_S)

    def _is_over(self) -> bool:
        """Return whether to end; ask the command to end when its time is over."""
        limit = self._plan.duration_s
        asked = self._stops.heard > 0
        late = limit is not None and time.monotonic() - self._began_s >= limit
        if self._command is None:
            return asked or late
        if self._command.status is not None:
            return True
        if asked or late:
            self._command.end(asks=self._stops.heard, knows=self._stops.by_interrupt)
        return False

    def _record_or_stop(self, writer: TraceWriter | FlightWriter) -> None:
        """Run ``_record``; on failure stop recording at once."""
        try:
            self._record(writer)
        except Exception as error:
            with contextlib.suppress(Exception):
                self._probes.set_recording(False)
            why = f"recording stopped: {error}"
            if isinstance(error, IncompleteError):
                why = error.message
            if self._command is not None and self._command.status is None:
                self._plan.on_status(f"{why}; the command goes on")
            # a writer that failed reports its own error
            if not isinstance(error, IncompleteError):
                with contextlib.suppress(Exception):
                    writer.update_meta(notices=(*writer.meta.notices, why))
            raise

    def _abandon(self, writer: TraceWriter | FlightWriter) -> None:
        """Record the losses in meta.json, and let the command run to its end.

        A scheduler that was loaded by the command must not be unloaded because a disk is full.
        """
        # errors here come after the first one and must not hide it
        with contextlib.suppress(Exception):
            self._drain.count_losses()
        with contextlib.suppress(Exception):
            writer.update_meta(lost=dict(self._drain.lost))
        command = self._command
        if command is None:
            return
        with contextlib.suppress(Exception):
            writer.close(seal=False)
        with contextlib.suppress(Exception):
            self._probes.close()
        while not self._is_over():
            time.sleep(POLL_S)
        self._plan.on_status(f"the command {describe_exit(command.status or 0)}")
        with contextlib.suppress(Exception):
            writer.update_meta(command_status=command.status)

    def _await_arenas(self) -> None:
        """Wait until the arenas of the ended command are destroyed, unless they are pinned."""
        until = time.monotonic() + LINGER_S
        asked = self._stops.heard
        while self._decoder.ledger.arenas.open_indices and self._stops.heard == asked:
            if time.monotonic() >= until:
                return
            if not self._drain.take():
                time.sleep(POLL_S)

    def _flush(self, writer: TraceWriter | FlightWriter) -> None:
        before = dict(self._drain.lost)
        self._drain.count_losses()
        if self._drain.lost != before:
            # a recorder killed later has written this by then; a flight recorder may start its next
            # segment at the flush
            writer.update_meta(lost=dict(self._drain.lost))
        writer.flush()

    def _seal(self, writer: TraceWriter | FlightWriter) -> Result:
        status = self._command.status if self._command is not None else None
        notices = [*limits(self._probes), *self._drain.notices()]
        writer.update_meta(
            end_ts_ns=time.clock_gettime_ns(time.CLOCK_MONOTONIC),
            lost=dict(self._drain.lost),
            notices=tuple(notices),
            command_status=status,
        )
        writer.close(seal=True)
        counts = dict(self._decoder.counts)
        lost = dict(self._drain.lost)
        windows = None
        if isinstance(writer, FlightWriter):
            lost |= writer.lost
            windows = [path for path in writer.windows if path.exists()]
            notices += writer.notices
            if writer.dropped:
                notices.append(f"{writer.dropped} older window(s) were dropped to make room")
        return Result(self._plan.path, counts, lost, notices, status, windows)

    def _report_stack_cache(self) -> None:
        """Report stack-cache hit statistics."""
        counts = self._probes.stack_cache_counts()
        if counts:
            self._plan.on_status(
                f"stacks: {counts['recognised']:,} recognised ({counts['checked']:,} checked by a "
                f"walk), {counts['walked'] - counts['checked']:,} walked"
            )

    def _progress(self, elapsed_s: float) -> Progress:
        return Progress(elapsed_s, dict(self._decoder.counts), sum(self._drain.lost.values()))

    def _start_command(self) -> Command | None:
        if not self._plan.command:
            self._plan.on_status("recording")
            return None
        owner = None if self._plan.command_as_root else find_sudo_user()
        who = f", the command runs as {owner.name}" if owner else ""
        self._plan.on_status(f"recording{who}")
        return Command(self._plan.command, owner)
