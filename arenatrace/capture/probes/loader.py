"""Compile, load and attach the probes, and read their maps."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import platform
import re
import sys
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any

from arenatrace.capture.kernel.probe_points import PointState
from arenatrace.capture.probes.bcc_module import captured_stderr, import_bcc
from arenatrace.capture.probes.bpf_syscall import freeze_map, prog_info, run_iterator
from arenatrace.capture.probes.filters import Filters, as_id, as_tag, kernel_name
from arenatrace.capture.probes.percpu_array import PerCpuArray
from arenatrace.capture.probes.source import probe_source
from arenatrace.capture.probes.stack_cache import StackCache, StackMismatch, patch_cast_calls
from arenatrace.capture.ring.notes import ArenaNote, NoteType, ProgNote, parse
from arenatrace.capture.ring.ring_buffer import MappedRing
from arenatrace.capture.ring.ring_size import DEFAULT_RINGS, RingSizes, refused_by_kernel
from arenatrace.errors import UnsupportedError
from arenatrace.schema import LOST_NOTES, LOST_STACKS

_SYMBOL_FORMAT = b"%pS"
#: Members of struct at_loss (probes/arena_events.h).
LOSS_FIELDS = [("count", "<u8"), ("first_ns", "<u8"), ("last_ns", "<u8"), ("reads", "<u8")]
#: libbcc's message for a map that the kernel refused.
_NO_RING = re.compile(r"could not open bpf map: (?:events|notes), error: (.+)")


def _reason(log: list[str]) -> str:
    """Return the verifier's verdict: the last line of its log before its statistics."""
    for line in reversed(log):
        if line.strip() and not line.startswith("processed "):
            return line.strip()
    return ""


class Probes:
    """The compiled probes of one recording.

    Args:
        states: probe points; those present in this kernel are compiled.
        offsets: macro name to structure offset, bytes.
        rings: sizes of the two ring buffers, bytes.
        macros: further macros, ``NAME`` or ``NAME=VALUE``.
        cache: what the stack cache needs; None walks every stack.

    Raises:
        UnsupportedError: BCC is missing, the probes do not compile, or the kernel refused a ring.
    """

    def __init__(
        self,
        states: list[PointState],
        offsets: dict[str, int],
        rings: RingSizes = DEFAULT_RINGS,
        *,
        macros: Iterable[str] = (),
        cache: StackCache | None = None,
    ) -> None:
        bcc = import_bcc()
        self._lib = sys.modules["bcc.libbcc"].lib
        self.ring_sizes = rings
        self.attached: list[str] = []
        self._closed = False
        self.refused: dict[str, str] = {}
        self._states = states
        self._iterators: list[int] = []
        self._loss_reads = 0
        flags = [
            f"-DAT_EVENTS_PAGES={rings.events // mmap.PAGESIZE}",
            f"-DAT_NOTES_PAGES={rings.notes // mmap.PAGESIZE}",
            *(f"-D{name}={value}" for name, value in offsets.items()),
            *(f"-D{state.point.macro}" for state in states if state.present),
            *(f"-D{macro}" for macro in macros),
        ]
        text = probe_source()
        #: False: every stack is walked.
        self.uses_stack_cache = False
        if cache is not None:
            more = [f"-D{macro}" for macro in cache.macros]
            self._bpf = self._compile(bcc, text, flags + more, rings)
            self._freeze_format()
            if self._load_with_cache(cache):
                self.uses_stack_cache = True
                return
            self._bpf.cleanup()
        self._bpf = self._compile(bcc, text, flags, rings)
        self._freeze_format()

    @cached_property
    def _lost_events(self) -> PerCpuArray:
        return PerCpuArray(self.map_fd("lost_events"), len(self._bpf[b"lost_events"]), LOSS_FIELDS)

    @cached_property
    def _lost_notes(self) -> PerCpuArray:
        return PerCpuArray(self.map_fd("lost_notes"), len(self._bpf[b"lost_notes"]), "<u8")

    def _load_with_cache(self, cache: StackCache) -> bool:
        """Load the probes with the stack cache; return False if the kernel refuses them."""
        try:
            with captured_stderr():
                for name in self._names():
                    start = self._lib.bpf_function_start(self._bpf.module, name)
                    size = self._lib.bpf_function_size(self._bpf.module, name)
                    if patch_cast_calls(start, size, cache.cast_id):
                        self._bpf.load_func(name, self._bpf.TRACING)
        except Exception:
            return False
        return True

    def _names(self) -> list[bytes]:
        """Return the names of the compiled programs."""
        return [
            self._lib.bpf_function_name(self._bpf.module, index)
            for index in range(self._lib.bpf_num_functions(self._bpf.module))
        ]

    @staticmethod
    def _compile(bcc: Any, text: str, flags: list[str], rings: RingSizes) -> Any:
        class Module(bcc.BPF):  # type: ignore[misc]
            """A BPF object that does not attach programs when it is compiled; attach() does."""

            def _trace_autoload(self) -> None:
                return

        failure: Exception | None = None
        module: Any = None
        with captured_stderr() as log:
            try:
                module = Module(text=text, cflags=flags)
            except Exception as exc:
                failure = exc
        if failure is not None:
            no_map = next((match for line in log if (match := _NO_RING.search(line))), None)
            if no_map is not None:
                raise refused_by_kernel(rings, no_map[1]) from failure
            first = next((line for line in log if "error" in line.lower()), str(failure))
            raise UnsupportedError(
                f"the probes do not compile on this kernel: {first.strip()}",
                f"the headers must match the running kernel {platform.release()}; "
                "if they do, report this line",
            ) from failure
        return module

    def attach(self) -> None:
        """Load and attach every probe; iterators are only loaded. Nothing is recorded yet.

        A probe that the kernel refuses is named in ``refused``. Raises UnsupportedError if it is
        an essential one.
        """
        for name in self._names():
            self._attach_one(name)
        # a point needs both of its probes
        self.attached = [function for function in self.attached if function not in self.refused]
        for state in self._states:
            why = self.refused.get(state.point.function)
            if state.point.essential and why is not None:
                raise UnsupportedError(
                    f"{state.point.function} cannot be probed: {why}",
                    "another tracer or a kernel setting may be in the way; see dmesg",
                )

    def _attach_one(self, name: bytes) -> None:
        function = name.decode().removeprefix("kret").removeprefix("k")
        function = function.removeprefix("func__vmlinux__").replace("bpf_iter__", "bpf_iter_")
        failure: Exception | None = None
        with captured_stderr() as log:
            try:
                if name.startswith(b"kfunc__"):
                    self._bpf.attach_kfunc(fn_name=name)
                elif name.startswith(b"kretfunc__"):
                    self._bpf.attach_kretfunc(fn_name=name)
                else:
                    bpf = self._bpf
                    self._iterators.append(bpf.load_func(name, bpf.TRACING).fd)
            except Exception as exc:
                failure = exc
        if failure is None:
            if function not in self.attached:
                self.attached.append(function)
        else:
            self.refused[function] = _reason(log) or str(failure)

    def _freeze_format(self) -> None:
        """Set the format of bpf_snprintf(), which must be in a frozen read-only map."""
        table = self._bpf[b"symbol_format"]
        leaf = table.Leaf()
        leaf.text = _SYMBOL_FORMAT
        table[ctypes.c_int(0)] = leaf
        freeze_map(self.map_fd("symbol_format"))

    def map_fd(self, name: str) -> int:
        """Return the file descriptor of a map."""
        fd: int = self._lib.bpf_table_fd(self._bpf.module, name.encode())
        return fd

    def set_recording(self, on: bool) -> None:
        """Switch recording on or off for all probes at once."""
        self._set_control(recording=int(on))

    def _set_control(self, *, recording: int | None = None, new_files: int = 0) -> None:
        table, only = self._bpf[b"control"], ctypes.c_int(0)
        leaf = table[only]
        if recording is not None:
            leaf.recording = recording
        leaf.files += new_files
        table[only] = leaf

    def set_filters(self, filters: Filters) -> None:
        """Put the ids, names and tags of ``filters`` into the probes' maps."""
        for kind, given in (("arena", filters.arenas), ("prog", filters.programs)):
            for word in given:
                number, tag = as_id(word), as_tag(word) if kind == "prog" else None
                if number is not None:
                    self._add_key(f"filter_{kind}_ids", number)
                else:
                    self._add_key(f"filter_{kind}_names", kernel_name(word))
                    if tag is not None:
                        self._add_key("filter_prog_tags", tag)

    def _add_key(self, table_name: str, key: int | bytes) -> None:
        table = self._bpf[table_name.encode()]
        table[table.Key(key)] = table.Leaf(1)

    def existing_objects(self) -> list[ArenaNote | ProgNote]:
        """Return all arenas and programs that exist now, without the probes' own programs."""
        self.run_iterators()
        ring = MappedRing(self.map_fd("notes"), self.ring_sizes.notes)
        notes = [parse(raw) for raw in ring.notes()]
        own = self.own_program_ids()
        return [
            note
            for note in notes
            if isinstance(note, ArenaNote) or (isinstance(note, ProgNote) and note.id not in own)
        ]

    def start_files(self, btf_ids: Iterable[int]) -> None:
        """Have the probes send stacks and symbols again, for files that lack the earlier ones.

        The strings of the BTF objects ``btf_ids`` are sent again too.
        """
        sent = self._bpf[b"strings_sent"]
        for btf_id in btf_ids:
            with contextlib.suppress(KeyError):
                del sent[ctypes.c_uint(btf_id)]
        self._set_control(new_files=1)

    def run_iterators(self) -> None:
        """Have the probes send a note for every existing arena and program."""
        for fd in self._iterators:
            run_iterator(fd)

    def own_program_ids(self) -> set[int]:
        """Return the ids of the probes' own programs, which do not belong into a trace."""
        return {prog_info(function.fd).id for function in self._bpf.funcs.values()}

    def recursion_misses(self) -> dict[str, int]:
        """Return probe name to number of runs that the kernel skipped for recursion on a CPU."""
        missed = {}
        for name, function in self._bpf.funcs.items():
            count = prog_info(function.fd).recursion_misses
            if count:
                missed[name.decode()] = count
        return missed

    def open_callbacks(self, handlers: dict[str, Callable[[bytes], None]]) -> None:
        """Set the handler of each ring's records; ``consume`` calls it."""

        def callback(handle: Callable[[bytes], None]) -> Callable[[Any, int, int], int]:
            def called(_context: Any, data: int, size: int) -> int:
                handle(ctypes.string_at(data, size))
                return 0

            return called

        for name, handle in handlers.items():
            self._bpf[name.encode()].open_ring_buffer(callback(handle))

    def consume(self) -> None:
        """Call the handlers for every record in the rings."""
        self._bpf.ring_buffer_consume()

    def lost_events(self) -> dict[int, list[tuple[int, int, int]]]:
        """Return events that did not fit into the ring: kind to one tuple for each CPU.

        The tuple is (count since the start, time of the first, time of the last); the times, ns,
        are those of events lost since the previous call.
        """
        losses = self._lost_events.read()
        if not losses["count"].any():
            return {}
        found = losses[["count", "first_ns", "last_ns"]].tolist()
        self._loss_reads += 1
        reads = self._bpf[b"loss_reads"]
        reads[ctypes.c_int(0)] = reads.Leaf(self._loss_reads)
        return {kind: cpus for kind, cpus in enumerate(found) if any(count for count, *_ in cpus)}

    def lost_notes(self) -> dict[str, int]:
        """Return lost notes by label, ``LOST_NOTES`` and ``LOST_STACKS``, over all CPUs."""
        counts = self._lost_notes.read().sum(axis=1).tolist()
        stacks = counts[NoteType.PAGE_STACK]
        found = {LOST_NOTES: sum(counts) - stacks, LOST_STACKS: stacks}
        return {label: count for label, count in found.items() if count}

    def stack_mismatch(self) -> StackMismatch | None:
        """Return a failed check of the stack cache; None if every check succeeded."""
        if not self.uses_stack_cache:
            return None
        mismatch = self._bpf[b"stack_mismatch"][ctypes.c_int(0)]
        if not mismatch.differed:
            return None
        counts = self.stack_cache_counts()
        return StackMismatch(counts["recognised"] - counts["checked"], mismatch.last_ns)

    def stack_cache_counts(self) -> dict[str, int]:
        """Return how many stacks were ``recognised``, ``walked``, ``learned`` and ``checked``."""
        if not self.uses_stack_cache:
            return {}
        cpus = [cpu for each in self._bpf[b"walk_states"].values() for cpu in each]
        names = ("recognised", "walked", "learned", "checked")
        return {name: sum(getattr(cpu, name) for cpu in cpus) for name in names}

    def close(self) -> None:
        """Detach and unload everything; a second call does nothing. Mapped rings stay readable."""
        if not self._closed:
            self._closed = True
            self._bpf.cleanup()
