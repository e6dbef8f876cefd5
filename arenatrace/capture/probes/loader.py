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
from arenatrace.capture.probes.filters import Filters, as_id, as_tag, kept_name
from arenatrace.capture.probes.percpu_array import PerCpuArray
from arenatrace.capture.probes.source import probe_source
from arenatrace.capture.probes.stack_cache import StackDoubt, StackMemory, mend_calls
from arenatrace.capture.ring.notes import ArenaNote, NoteType, ProgNote, parse
from arenatrace.capture.ring.ring_buffer import MappedRing
from arenatrace.capture.ring.ring_size import DEFAULT_RINGS, RingSizes, refused_by_kernel
from arenatrace.errors import UnsupportedError
from arenatrace.schema import LOST_NOTES, LOST_STACKS

_SYMBOL_FORMAT = b"%pS"
#: struct at_loss of the probes.
_LOSS = [("count", "<u8"), ("first_ns", "<u8"), ("last_ns", "<u8"), ("looks", "<u8")]
#: What libbcc says of a map that the kernel did not make.
_NO_RING = re.compile(r"could not open bpf map: (?:events|notes), error: (.+)")


def _reason(said: list[str]) -> str:
    """The verifier's verdict: the last line of its log before its statistics."""
    for line in reversed(said):
        if line.strip() and not line.startswith("processed "):
            return line.strip()
    return ""


class Probes:
    """The compiled probes, with ring buffers of the given sizes.

    ``macros`` compile in what only some recordings ask for: ``NAME`` or ``NAME=VALUE``.
    """

    def __init__(
        self,
        states: list[PointState],
        offsets: dict[str, int],
        rings: RingSizes = DEFAULT_RINGS,
        *,
        macros: Iterable[str] = (),
        memory: StackMemory | None = None,
    ) -> None:
        bcc = import_bcc()
        self._lib = sys.modules["bcc.libbcc"].lib
        self.ring_sizes = rings
        self.attached: list[str] = []
        self._closed = False
        self.refused: dict[str, str] = {}
        self._states = states
        self._iterators: list[int] = []
        self._loss_looks = 0
        flags = [
            f"-DAT_EVENTS_PAGES={rings.events // mmap.PAGESIZE}",
            f"-DAT_NOTES_PAGES={rings.notes // mmap.PAGESIZE}",
            *(f"-D{name}={value}" for name, value in offsets.items()),
            *(f"-D{state.point.macro}" for state in states if state.present),
            *(f"-D{macro}" for macro in macros),
        ]
        text = probe_source()
        #: Whether stacks are remembered; else each is walked.
        self.remembers = False
        if memory is not None:
            more = [f"-D{macro}" for macro in memory.macros]
            self._bpf = self._compile(bcc, text, flags + more, rings)
            self._freeze_format()
            if self._takes(memory):
                self.remembers = True
                return
            self._bpf.cleanup()
        self._bpf = self._compile(bcc, text, flags, rings)
        self._freeze_format()

    @cached_property
    def _lost_events(self) -> PerCpuArray:
        return PerCpuArray(self.map_fd("lost_events"), len(self._bpf[b"lost_events"]), _LOSS)

    @cached_property
    def _lost_notes(self) -> PerCpuArray:
        return PerCpuArray(self.map_fd("lost_notes"), len(self._bpf[b"lost_notes"]), "<u8")

    def _takes(self, memory: StackMemory) -> bool:
        """Load the probes that remember stacks; False if the kernel does not take them."""
        try:
            with captured_stderr():
                for name in self._names():
                    start = self._lib.bpf_function_start(self._bpf.module, name)
                    size = self._lib.bpf_function_size(self._bpf.module, name)
                    if mend_calls(start, size, memory.cast_id):
                        self._bpf.load_func(name, self._bpf.TRACING)
        except Exception:
            return False
        return True

    def _names(self) -> list[bytes]:
        """The probes' own names."""
        return [
            self._lib.bpf_function_name(self._bpf.module, index)
            for index in range(self._lib.bpf_num_functions(self._bpf.module))
        ]

    @staticmethod
    def _compile(bcc: Any, text: str, flags: list[str], rings: RingSizes) -> Any:
        class Module(bcc.BPF):  # type: ignore[misc]
            """BCC attaches whatever it finds as soon as it has compiled; here attach() does."""

            def _trace_autoload(self) -> None:
                return

        failure: Exception | None = None
        module: Any = None
        with captured_stderr() as said:
            try:
                module = Module(text=text, cflags=flags)
            except Exception as exc:
                failure = exc
        if failure is not None:
            no_map = next((match for line in said if (match := _NO_RING.search(line))), None)
            if no_map is not None:
                raise refused_by_kernel(rings, no_map[1]) from failure
            first = next((line for line in said if "error" in line.lower()), str(failure))
            raise UnsupportedError(
                f"the probes do not compile on this kernel: {first.strip()}",
                f"the headers must match the running kernel {platform.release()}; "
                "if they do, report this line",
            ) from failure
        return module

    def attach(self) -> None:
        """Load and attach every probe; iterators are only loaded. Nothing is recorded yet.

        A probe the kernel refuses is left out and named in ``refused``; without one of the
        essential points UnsupportedError is raised.
        """
        for name in self._names():
            self._attach_one(name)
        # a point with one of its two probes refused gives only half of what it should
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
        with captured_stderr() as said:
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
            self.refused[function] = _reason(said) or str(failure)

    def _freeze_format(self) -> None:
        """bpf_snprintf() takes its format only from a read-only, frozen map."""
        table = self._bpf[b"symbol_format"]
        leaf = table.Leaf()
        leaf.text = _SYMBOL_FORMAT
        table[ctypes.c_int(0)] = leaf
        freeze_map(self.map_fd("symbol_format"))

    def map_fd(self, name: str) -> int:
        """File descriptor of one of the probes' maps."""
        fd: int = self._lib.bpf_table_fd(self._bpf.module, name.encode())
        return fd

    def set_recording(self, on: bool) -> None:
        """Let the probes record, all from one moment on, or none from one moment on."""
        self._tell(recording=int(on))

    def _tell(self, *, recording: int | None = None, new_files: int = 0) -> None:
        table, only = self._bpf[b"told"], ctypes.c_int(0)
        leaf = table[only]
        if recording is not None:
            leaf.recording = recording
        leaf.files += new_files
        table[only] = leaf

    def choose(self, filters: Filters) -> None:
        """Tell the probes the ids, names and tags of what ``filters`` ask for."""
        for kind, words in (("arena", filters.arenas), ("prog", filters.programs)):
            for word in words:
                number, tag = as_id(word), as_tag(word) if kind == "prog" else None
                if number is not None:
                    self._want(f"{kind}_ids", number)
                else:
                    self._want(f"{kind}_names", kept_name(word))
                    if tag is not None:
                        self._want("prog_tags", tag)

    def _want(self, table_name: str, key: int | bytes) -> None:
        table = self._bpf[table_name.encode()]
        wanted = table.Key(key)
        table[wanted] = table.Leaf(1)

    def existing(self) -> list[ArenaNote | ProgNote]:
        """The arenas and programs there are, before anything is recorded; not our own."""
        self.run_iterators()
        ring = MappedRing(self.map_fd("notes"), self.ring_sizes.notes)
        notes = [parse(raw) for raw in ring.notes()]
        own = self.own_program_ids()
        return [
            note
            for note in notes
            if isinstance(note, ArenaNote) or (isinstance(note, ProgNote) and note.id not in own)
        ]

    def begin_files(self, forgotten: Iterable[int]) -> None:
        """Have stacks and symbols sent again: what was sent is in files that will go.

        So are the strings of the BTF ids ``forgotten``.
        """
        sent = self._bpf[b"strings_sent"]
        for btf_id in forgotten:
            with contextlib.suppress(KeyError):
                del sent[ctypes.c_uint(btf_id)]
        self._tell(new_files=1)

    def run_iterators(self) -> None:
        """Send a note of every arena and program that exists now."""
        for fd in self._iterators:
            run_iterator(fd)

    def own_program_ids(self) -> set[int]:
        """Ids of the probes' own programs, to be kept out of the trace."""
        return {prog_info(function.fd).id for function in self._bpf.funcs.values()}

    def recursion_misses(self) -> dict[str, int]:
        """Probe name to events it missed because it was running on that CPU already."""
        missed = {}
        for name, function in self._bpf.funcs.items():
            count = prog_info(function.fd).recursion_misses
            if count:
                missed[name.decode()] = count
        return missed

    def open_callbacks(self, takers: dict[str, Callable[[bytes], None]]) -> None:
        """Have each record of a ring handed to its taker whenever ``consume`` is called."""

        def callback(take: Callable[[bytes], None]) -> Callable[[Any, int, int], int]:
            def called(_context: Any, data: int, size: int) -> int:
                take(ctypes.string_at(data, size))
                return 0

            return called

        for name, take in takers.items():
            self._bpf[name.encode()].open_ring_buffer(callback(take))

    def consume(self) -> None:
        """Call back for every record that is in the rings opened with ``open_callbacks``."""
        self._bpf.ring_buffer_consume()

    def lost_events(self) -> dict[int, list[tuple[int, int, int]]]:
        """Kind of event to what did not fit into the ring, on each CPU.

        That is how many since the start, and when (ns) the first and the last of those that
        were lost since the call before.
        """
        losses = self._lost_events.read()
        if not losses["count"].any():
            return {}
        found = losses[["count", "first_ns", "last_ns"]].tolist()
        self._loss_looks += 1
        looks = self._bpf[b"loss_looks"]
        looks[ctypes.c_int(0)] = looks.Leaf(self._loss_looks)
        return {kind: cpus for kind, cpus in enumerate(found) if any(count for count, *_ in cpus)}

    def lost_notes(self) -> dict[str, int]:
        """What is missing of notes, over all CPUs: ``LOST_NOTES`` and ``LOST_STACKS``."""
        counts = self._lost_notes.read().sum(axis=1).tolist()
        stacks = counts[NoteType.TRACE]
        found = {LOST_NOTES: sum(counts) - stacks, LOST_STACKS: stacks}
        return {label: count for label, count in found.items() if count}

    def stack_doubt(self) -> StackDoubt | None:
        """What is to be said of remembered stacks; None if every one that was checked was right."""
        if not self.remembers:
            return None
        doubt = self._bpf[b"stack_doubt"][ctypes.c_int(0)]
        if not doubt.wrong:
            return None
        uses = self.stack_uses()
        return StackDoubt(uses["recognised"] - uses["checked"], doubt.last_ns)

    def stack_uses(self) -> dict[str, int]:
        """How often a stack was ``recognised``, ``walked``, ``learned`` and ``checked``."""
        if not self.remembers:
            return {}
        cpus = [cpu for each in self._bpf[b"scratches"].values() for cpu in each]
        names = ("recognised", "walked", "learned", "checked")
        return {name: sum(getattr(cpu, name) for cpu in cpus) for name in names}

    def close(self) -> None:
        """Detach and unload everything; once is enough. Rings that are mapped stay readable."""
        if not self._closed:
            self._closed = True
            self._bpf.cleanup()
