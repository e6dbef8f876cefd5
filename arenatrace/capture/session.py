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
from arenatrace.capture.fsync import Syncer
from arenatrace.capture.identity.ledger import Ledger
from arenatrace.capture.kernel.probe_points import level_macros
from arenatrace.capture.plan import Plan, Progress, Result
from arenatrace.capture.preflight import Kernel
from arenatrace.capture.probes.loader import Probes
from arenatrace.capture.probes.stack_cache import detect_stack_cache
from arenatrace.capture.process.command import Command, check_command, how_it_ended
from arenatrace.capture.process.priority import ahead_of_others
from arenatrace.capture.process.signals import Stops
from arenatrace.capture.process.sudo_user import behind_sudo, give
from arenatrace.capture.session_meta import limits, meta_of
from arenatrace.errors import IncompleteError, UnsupportedError, UsageError
from arenatrace.schema import Level
from arenatrace.trace.meta import Meta
from arenatrace.trace.writer import TraceWriter

#: Seconds between two looks at the rings, between flushes, and between progress reports.
POLL_S = 0.05
FLUSH_S = 1.0
PROGRESS_S = 1.0
#: Seconds for probes that are under way when recording ends; they take microseconds.
SETTLE_S = 0.02
#: Seconds that the arenas of a command that ended may take to be destroyed: a kernel worker does
#: it, after a grace period, when nobody has them open any more.
LINGER_S = 1.0


def record(plan: Plan) -> Result:
    """Record as ``plan`` says and seal the trace.

    Whatever it raises, a command that was started has ended by itself, or was asked to.

    Raises:
        UnsupportedError: no privileges, no BTF, no handler, no headers or no BCC, or no memory
            for the ring buffers.
        UsageError: the output exists or cannot be made, or the command cannot be started.
        ArenatraceError: the disk is full or failed; what was written until then is valid.
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
        owner = behind_sudo()
        if owner is not None and plan.path.is_dir():
            for window in plan.path.glob("*.atrace") if plan.flight is not None else ():
                give(window, owner)
            give(plan.path, owner)


def dry_run(plan: Plan) -> tuple[list[str], dict[str, str]]:
    """Attach every probe that ``plan`` wants and detach it again; nothing is recorded or written.

    Returns the points that were attached, and those refused with the kernel's reason. Raises
    UnsupportedError as ``record`` does, and UsageError for filters that mean nothing.
    """
    kernel = Kernel.detect(plan.level, without_recovery=plan.without_recovery)
    plan.rings.require_memory()
    probes = _compile(plan, kernel)
    try:
        probes.attach()
        _choose(plan, probes)
        return probes.attached, probes.refused
    finally:
        probes.close()


def _compile(plan: Plan, kernel: Kernel) -> Probes:
    macros = (*level_macros(plan.level), *plan.filters.macros())
    remember = plan.level == Level.STACKS and not plan.walk_every_stack
    cache = detect_stack_cache(kernel.btf) if remember else None
    probes = Probes(kernel.states, kernel.offsets, plan.rings, macros=macros, cache=cache)
    if remember and not probes.uses_stack_cache:
        plan.on_status("stacks cannot be recognised here: each is walked, which costs more")
    return probes


def _choose(plan: Plan, probes: Probes) -> None:
    """Tell the probes what is wanted; UsageError for what is not there."""
    if plan.filters:
        probes.set_filters(plan.filters)
        plan.filters.check(probes.existing_objects())


def check_output(path: Path) -> None:
    """Refuse what the writer would refuse, before compiling for seconds; UsageError."""
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
    """The running recording; stops at a signal, the duration or the command's end."""

    def __init__(self, plan: Plan, probes: Probes, kernel: Kernel) -> None:
        self._plan = plan
        self._probes = probes
        self._kernel = kernel
        self._stops = Stops()
        self._command: Command | None = None
        self._began_s = 0.0

    def run(self) -> Result:
        """Record until told to stop; returns once the trace is sealed.

        Signals are held to the very end: a second Ctrl-C must not leave a trace that lacks
        the counts of what it lost.
        """
        with self._stops:
            self._probes.attach()
            _choose(self._plan, self._probes)
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
                with Syncer(self._plan.path, FLUSH_S, self._streams), ahead_of_others():
                    self._record_or_stop(writer)
                self._say_of_stacks()
                self._plan.on_status("sealing")
                return self._seal(writer)
            except Exception:
                self._let_go(writer)
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
        """Whatever is referred to from here on has to be sent and written again."""
        self._probes.start_files(self._decoder.ledger.start_files())

    @property
    def _streams(self) -> str:
        """Pattern of the files being written, below the output."""
        return "*.arrows" if self._plan.flight is None else f"{SEGMENTS}/*/*.*"

    def _record(self, writer: TraceWriter | FlightWriter) -> None:
        """Everything between the first event and the last."""
        self._probes.set_recording(True)
        self._probes.run_iterators()
        self._drain.take()
        self._command = self._start_command()
        self._loop(writer)
        if self._command is not None:
            self._linger()
        self._probes.set_recording(False)
        # a probe that passed the check just before has not reserved its record yet
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
        """Whether it is time to end; a command whose time has come is asked to."""
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
        """``_record``; where that fails it is over at once, and says so."""
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
            # a writer that failed says itself what became of it
            if not isinstance(error, IncompleteError):
                with contextlib.suppress(Exception):
                    writer.update_meta(notices=(*writer.meta.notices, why))
            raise

    def _let_go(self, writer: TraceWriter | FlightWriter) -> None:
        """Leave a trace of what was recorded, and the command alone until it ends by itself.

        Whoever loaded a scheduler under the recorder must not lose it for want of a disk.
        """
        # whatever fails here fails after the error that is to be told, and must not hide it
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
        self._plan.on_status(f"the command {how_it_ended(command.status or 0)}")
        with contextlib.suppress(Exception):
            writer.update_meta(command_status=command.status)

    def _linger(self) -> None:
        """See the end of the arenas that the command leaves behind, unless they stay."""
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
            # a recorder that is killed later has said so by then; a flight recorder may turn to
            # its next segment at the flush
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

    def _say_of_stacks(self) -> None:
        """How the stacks of page operations were come by."""
        uses = self._probes.stack_cache_counts()
        if uses:
            self._plan.on_status(
                f"stacks: {uses['recognised']:,} recognised, {uses['checked']:,} of these walked "
                f"all the same, to check; {uses['walked'] - uses['checked']:,} others walked"
            )

    def _progress(self, elapsed_s: float) -> Progress:
        return Progress(elapsed_s, dict(self._decoder.counts), sum(self._drain.lost.values()))

    def _start_command(self) -> Command | None:
        if not self._plan.command:
            self._plan.on_status("recording")
            return None
        owner = None if self._plan.command_as_root else behind_sudo()
        who = f", the command runs as {owner.name}" if owner else ""
        self._plan.on_status(f"recording{who}")
        return Command(self._plan.command, owner)
