"""Single definition of the tables of a trace and of the probes' event record.

The trace writer, the ring-buffer decoder, the check of the C header, the docs and the tests read
these tables. Add a column or a wire field here. This module imports only the standard library, so
that every other module may import it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag, StrEnum

#: Version of the directory layout. A reader refuses any other version.
FORMAT_VERSION = 1

#: Bytes in an arena page. Kernels with another page size are not supported.
PAGE_SIZE = 4096
#: Bytes of guard in the vm area of an arena; half of it is on each side of the band.
GUARD_SZ = 64 * 1024
#: Bytes of the kernel band: every 32-bit offset a program can form.
BAND_SZ = 1 << 32


#: Range of code addresses that importers assign, since text names code by symbol and offset. No CPU
#: has such addresses.
SYNTHETIC_CODE_START = 1 << 60
SYNTHETIC_CODE_END = 1 << 61
#: First time of a source without a clock. Times below 0 give only the order.
UNTIMED_START = -(1 << 62)


#: Labels of losses that leave all events in the trace: names or stacks are missing.
LOST_NOTES = "notes"
LOST_STACKS = "stacks of page operations"
#: Recorded stacks that may belong to other operations.
DOUBTFUL_STACKS = "doubtful stacks of page operations"


class Kind(IntEnum):
    """Kind of an event. Values are the wire values of the probe and the stored codes."""

    ARENA_CREATE = 1
    ARENA_MMAP = 2
    ARENA_DESTROY = 3
    PAGE_ALLOC = 4
    PAGE_FREE = 5
    FREE_DRAIN = 6
    PAGE_RESERVE = 7
    USER_FAULT = 8
    KERNEL_FAULT = 9
    PROG_FAULT = 10
    PROG_LOAD = 11
    PROG_UNLOAD = 12
    LOST = 13
    KERNEL_ALLOC = 14
    KERNEL_FREE = 15

    @property
    def label(self) -> str:
        """The name for users, for example ``page_alloc``."""
        return self.name.lower()


#: The fault kinds, and the side of each as ``faults`` prints it.
FAULT_SIDES: dict[Kind, str] = {Kind.KERNEL_FAULT: "kernel", Kind.PROG_FAULT: "prog"}
FAULT_KINDS = tuple(FAULT_SIDES)


class Cause(StrEnum):
    """Cause of a fault, in the order in which the rules of ``docs/causes.md`` are tried."""

    NULL_PAGE = "null-page"
    GUARD_BAND = "guard-band"
    OUTSIDE_USER_RANGE = "outside-user-range"
    ALLOC_RACE = "alloc-race"
    FREE_RACE = "free-race"
    RESERVED_GUARD = "reserved-guard"
    REFAULT = "refault"
    USE_AFTER_FREE = "use-after-free"
    OUT_OF_BOUNDS = "out-of-bounds"
    NEVER_ALLOCATED = "never-allocated"
    UNKNOWN = "unknown"


class Level(StrEnum):
    """Recording level, least first. Each level records everything that the one before it does."""

    #: Faults, arenas and programs.
    FAULTS = "faults"
    #: Also allocations, frees, reservations and drains of pages.
    PAGES = "pages"
    #: Also the call stack of each page operation.
    STACKS = "stacks"


class ProfileName(StrEnum):
    """Variants of the kernel's arena behaviour; ``model.kernel.profiles`` defines each."""

    PRE_SCRATCH = "pre-scratch"
    MAP_ALWAYS = "map-always"
    SCRATCH_STICKY = "scratch-sticky"
    SCRATCH_REPLACE = "scratch-replace"


class Outcome(IntEnum):
    """Outcome of a fault, stored as its code; null for other events."""

    SCRATCH_INSTALLED = 1
    ALREADY_MAPPED = 2
    OOPS = 3
    ZEROED = 4
    IGNORED = 5
    #: user_fault only: a page was mapped, SIGSEGV was sent, SIGBUS was sent.
    MAPPED = 6
    SIGSEGV = 7
    SIGBUS = 8

    @property
    def label(self) -> str:
        """The name for users, for example ``scratch-installed``."""
        return self.name.lower().replace("_", "-")


class OopsReason(IntEnum):
    """Reason why the kernel did not recover a kernel-side fault, in the order of its handler."""

    NO_PROGRAM = 1
    NO_ARENA = 2
    OUTSIDE_ARENA = 3
    #: The page was mapped and the access not permitted: the arena handler is not called.
    PROTECTION = 4
    #: This kernel does not recover arena faults.
    NO_HANDLER = 5

    @property
    def label(self) -> str:
        """The name for users, for example ``no-program``."""
        return self.name.lower().replace("_", "-")


class WireFlag(IntFlag):
    """Bits of the ``flags`` byte of the event record."""

    WRITE = 1 << 0
    SLEEPABLE = 1 << 1
    #: The handler or operation reported success.
    OK = 1 << 2
    #: The page table entry was empty when the fault handler looked at it.
    PTE_WAS_NONE = 1 << 3
    #: ``addr`` is an offset from kern_vm_start, not an address (program-side faults).
    ADDR_IS_OFFSET = 1 << 4
    #: The object existed before the recording started.
    PREEXISTING = 1 << 5
    #: The probe on the page table entry saw this fault: PTE_WAS_NONE is valid.
    PTE_SEEN = 1 << 6
    #: ``error_code`` is valid. 0 is a valid code: a kernel read of an unmapped page.
    HAS_ERROR_CODE = 1 << 7


@dataclass(frozen=True)
class Column:
    """Column of a table.

    ``dtype`` is an Arrow type name (``int64``, ``uint8``, ``bool``, ``string``,
    ``dictionary<string>``, ``list<uint64>``, ``list<struct>``); ``fields`` names
    the members of a ``list<struct>``.
    """

    name: str
    dtype: str
    unit: str
    meaning: str
    nullable: bool = True
    fields: tuple[Column, ...] = ()


@dataclass(frozen=True)
class WireField:
    """Member of the fixed-size event record: C name, numpy format, byte offset."""

    name: str
    fmt: str
    offset: int
    meaning: str


#: Bytes of an event record in the ring buffer, without the 8-byte header of the ring.
EVENT_SIZE = 80

#: ``struct at_event`` of ``probes/arena_events.h``, little-endian.
WIRE: tuple[WireField, ...] = (
    WireField("ts_ns", "<u8", 0, "CLOCK_MONOTONIC, ns"),
    WireField("arena", "<u8", 8, "struct bpf_arena *, 0 if there is none"),
    WireField("addr", "<u8", 16, "address or offset from kern_vm_start, see flags"),
    WireField("ret", "<i8", 24, "return value; faults and programs: start of the program's code"),
    WireField("ip", "<u8", 32, "faulting instruction; page operations: hash of the stack or 0"),
    WireField("pid", "<u4", 40, "thread group id"),
    WireField("tid", "<u4", 44, "thread id"),
    WireField("pages", "<u4", 48, "pages asked for or touched; kernel_fault: OopsReason"),
    WireField("error_code", "<u4", 52, "x86 page fault error code; page_alloc: the NUMA node"),
    WireField("stack", "<u4", 56, "1 if a stack note of the same ts_ns, cpu and tid was sent"),
    WireField("cpu", "<u2", 60, "CPU the event happened on"),
    WireField("kind", "u1", 62, "Kind"),
    WireField("flags", "u1", 63, "WireFlag bits"),
    WireField("comm", "S16", 64, "task name"),
)

EVENTS: tuple[Column, ...] = (
    Column(
        "ts_ns",
        "int64",
        "ns",
        "time of the event, CLOCK_MONOTONIC; below 0: order only, time unknown",
        nullable=False,
    ),
    Column("seq", "uint64", "", "order in the ring buffer or the text, from 0", nullable=False),
    Column("cpu", "uint16", "", "CPU the event happened on"),
    Column("pid", "uint32", "", "thread group id of the task"),
    Column("tid", "uint32", "", "thread id of the task"),
    Column("comm", "dictionary<string>", "", "task name of the kernel"),
    Column("kind", "uint8", "schema.Kind", "kind of the event", nullable=False),
    Column("arena", "uint32", "", "index into the table arenas"),
    Column("pgoff", "uint32", "pages", "first arena page concerned; null in the guards"),
    Column(
        "pages",
        "uint32",
        "pages",
        "pages asked for (page_alloc, page_free, page_reserve) or touched (kernel_alloc, "
        "kernel_free); lost: events lost",
    ),
    Column(
        "addr",
        "uint64",
        "address",
        "kernel faults and program-side faults: the exact kernel address; page_alloc: the "
        "user address asked for (0: anywhere); page_free, page_reserve, user_fault: user address; "
        "kernel_alloc, kernel_free: kernel address (0: refused)",
    ),
    Column(
        "uaddr",
        "uint64",
        "address",
        "imported faults: user address in the kernel's report (kernel-side faults: page only); "
        "null if addr and the arena give it",
    ),
    Column(
        "ret",
        "int64",
        "",
        "page_alloc: user address returned, 0 if refused; page_reserve, arena_mmap: 0 or -errno; "
        "user_fault: vm_fault_t; kernel_alloc, kernel_free: bytes; lost: kind of the lost events",
    ),
    Column("write", "bool", "", "the access was a store"),
    Column("sleepable", "bool", "", "the operation could sleep (otherwise a free is deferred)"),
    Column("error_code", "uint32", "", "x86 page fault error code; arm64: ESR, low half"),
    Column("ip", "uint64", "address", "faulting instruction"),
    Column("prog", "uint32", "", "index into programs: blamed program"),
    Column("stack", "uint32", "", "id in the table stacks"),
    Column("outcome", "uint8", "schema.Outcome", "outcome of a fault"),
    Column(
        "node",
        "int32",
        "",
        "page_alloc: NUMA node asked for, -1 any; null in traces that did not record it",
    ),
    Column(
        "oops_reason",
        "uint8",
        "schema.OopsReason",
        "why the kernel did not recover (outcome oops); null if unknown",
    ),
    Column(
        "since_ts_ns",
        "int64",
        "ns",
        "lost: time of the first lost event; ts_ns is the time of the last",
    ),
)

ARENAS: tuple[Column, ...] = (
    Column("arena", "uint32", "", "index, the key of this table", nullable=False),
    Column("ptr", "uint64", "address", "struct bpf_arena *"),
    Column("generation", "uint32", "", "number of earlier arenas with the same pointer"),
    Column("map_id", "uint32", "", "BPF map id"),
    Column("name", "string", "", "BPF map name"),
    Column("kern_vm_start", "uint64", "address", "kernel address of 32-bit offset 0"),
    Column("user_vm_start", "uint64", "address", "user address of arena page 0"),
    Column("max_entries", "uint32", "pages", "size of the user range"),
    Column("map_flags", "uint32", "", "map_flags at creation"),
    Column("preexisting", "bool", "", "existed before the recording started"),
    Column("create_ts_ns", "int64", "ns", "creation, CLOCK_MONOTONIC"),
    Column("destroy_ts_ns", "int64", "ns", "destruction, CLOCK_MONOTONIC"),
)

FUNC_FIELDS: tuple[Column, ...] = (
    Column("name", "string", "", "kallsyms name, bpf_prog_<tag>_<function>"),
    Column("start", "uint64", "address", "first byte of JITed code"),
    Column("end", "uint64", "address", "first byte after the JITed code"),
)

LINE_FIELDS: tuple[Column, ...] = (
    Column("addr", "uint64", "address", "first JITed instruction of this line"),
    Column("file", "string", "", "source file as the compiler recorded it"),
    Column("line", "uint32", "", "line number from 1"),
    Column("col", "uint32", "", "column from 1"),
    Column("text", "string", "", "source text of the line"),
)

PROGRAMS: tuple[Column, ...] = (
    Column("prog", "uint32", "", "index, the key of this table", nullable=False),
    Column("id", "uint32", "", "BPF program id"),
    Column("name", "string", "", "program name (the full function name where BTF has it)"),
    Column("tag", "string", "", "8-byte program tag in hex"),
    Column("type", "string", "", "program type in lower case, for example syscall"),
    Column("arena", "uint32", "", "index into arenas: arena of the program, null if it has none"),
    Column("own", "bool", "", "program of the recorder itself"),
    Column("preexisting", "bool", "", "loaded before the recording started"),
    Column("load_ts_ns", "int64", "ns", "load, CLOCK_MONOTONIC"),
    Column("unload_ts_ns", "int64", "ns", "unload, CLOCK_MONOTONIC"),
    Column("funcs", "list<struct>", "", "main program first, then subprograms", fields=FUNC_FIELDS),
    Column("lines", "list<struct>", "", "line table by ascending address", fields=LINE_FIELDS),
)

STACKS: tuple[Column, ...] = (
    Column("stack", "uint32", "", "id, the key of this table", nullable=False),
    Column("frames", "list<uint64>", "address", "innermost first, from the fault on"),
)

SYMBOLS: tuple[Column, ...] = (
    Column("ts_ns", "int64", "ns", "time at which the kernel resolved the symbol", nullable=False),
    Column("addr", "uint64", "address", "code address", nullable=False),
    Column("name", "string", "", "symbol that covers the address"),
    Column("offset", "uint32", "bytes", "bytes from the symbol's start"),
    Column("size", "uint32", "bytes", "size of the symbol"),
    Column("module", "string", "", "kernel module, null in the kernel proper"),
)

#: Table name to columns.
TABLES: dict[str, tuple[Column, ...]] = {
    "events": EVENTS,
    "arenas": ARENAS,
    "programs": PROGRAMS,
    "stacks": STACKS,
    "symbols": SYMBOLS,
}

#: Tables with a key column. Merging rows with one key takes the last non-null value of each column.
KEYED: dict[str, str] = {"arenas": "arena", "programs": "prog", "stacks": "stack"}
