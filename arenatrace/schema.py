"""Tables of a trace, the event record of the probes, and the vocabulary of both.

The trace writer, the decoder, the check of the C header, the documents and the tests read these
definitions. Only the standard library is imported, so every module may import this one.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag, StrEnum

#: Version of the directory layout. A reader refuses any other version.
FORMAT_VERSION = 1

#: Bytes in one arena page (``PAGE_SIZE`` of the only page size the kernel's arena supports here).
PAGE_SIZE = 4096
#: Bytes of guard in an arena's vm area; half of it lies on either side of the band.
GUARD_SZ = 64 * 1024
#: Bytes of the kernel band: every 32-bit offset a program can form.
BAND_SZ = 1 << 32

#: Code addresses in this range are synthetic: imported text names code by symbol and offset. No CPU
#: has such addresses.
SYNTHETIC_CODE_START = 1 << 60
SYNTHETIC_CODE_END = 1 << 61
#: Times below 0 give the order only: the source had no clock. This is the first such time.
UNTIMED_START = -(1 << 62)

#: Labels of losses that leave every event in its place: names or stacks are missing.
LOST_NOTES = "notes"
LOST_STACKS = "stacks of page operations"
#: They are there, and may be others' than the operations they stand at.
DOUBTFUL_STACKS = "doubtful stacks of page operations"


class Kind(IntEnum):
    """What an event is. Values are the probe's wire values and the stored codes."""

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
        """The kind as users read it, for example ``page_alloc``."""
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
    """What became of a fault. Stored as its code; null where an event is no fault."""

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
        """The outcome as users read it, for example ``scratch-installed``."""
        return self.name.lower().replace("_", "-")


class OopsReason(IntEnum):
    """Why the kernel did not recover from a kernel-side fault, in its handler's order."""

    NO_PROGRAM = 1
    NO_ARENA = 2
    OUTSIDE_ARENA = 3
    #: The page was mapped: the access was not allowed, and the handler is not asked.
    PROTECTION = 4
    #: This kernel does not recover from arena faults at all.
    NO_HANDLER = 5

    @property
    def label(self) -> str:
        """The reason as users read it, for example ``no-program``."""
        return self.name.lower().replace("_", "-")


class WireFlag(IntFlag):
    """Bits of the event record's ``flags`` byte."""

    WRITE = 1 << 0
    SLEEPABLE = 1 << 1
    #: The handler or operation reported success.
    OK = 1 << 2
    #: The page table entry was empty when the fault handler looked at it.
    PTE_WAS_NONE = 1 << 3
    #: ``addr`` is an offset from kern_vm_start, not an address (program-side faults).
    ADDR_IS_OFFSET = 1 << 4
    #: The object existed before the recording began.
    PREEXISTING = 1 << 5
    #: The probe on the page table entry saw this fault: PTE_WAS_NONE means something.
    PTE_SEEN = 1 << 6
    #: ``error_code`` was seen; 0 is one too (a kernel read of a page that is not there).
    HAS_ERROR_CODE = 1 << 7


@dataclass(frozen=True)
class Column:
    """One column of a table.

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
    """One member of the probe's fixed-size event record: C name, numpy format, byte offset."""

    name: str
    fmt: str
    offset: int
    meaning: str


#: Bytes of one event record in the ring buffer, without the ring's own 8-byte header.
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
        "time of the event, CLOCK_MONOTONIC; below 0: order only, the time is not known",
        nullable=False,
    ),
    Column("seq", "uint64", "", "order in the ring buffer or the text, from 0", nullable=False),
    Column("cpu", "uint16", "", "CPU the event happened on"),
    Column("pid", "uint32", "", "thread group id of the task"),
    Column("tid", "uint32", "", "thread id of the task"),
    Column("comm", "dictionary<string>", "", "task name as the kernel holds it"),
    Column("kind", "uint8", "schema.Kind", "what happened", nullable=False),
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
        "imported faults: the user address as the kernel's report printed it, of kernel faults "
        "only the page; null where addr and the arena tell it",
    ),
    Column(
        "ret",
        "int64",
        "",
        "page_alloc: user address given, 0 if refused; page_reserve, arena_mmap: 0 or -errno; "
        "user_fault: vm_fault_t; kernel_alloc, kernel_free: bytes; lost: the kind of event that "
        "was lost",
    ),
    Column("write", "bool", "", "the access was a store"),
    Column(
        "sleepable", "bool", "", "the operation could sleep (a free that could not is deferred)"
    ),
    Column("error_code", "uint32", "", "x86 page fault error code; arm64: ESR, low half"),
    Column("ip", "uint64", "address", "faulting instruction"),
    Column("prog", "uint32", "", "index into programs: the program the kernel blamed"),
    Column("stack", "uint32", "", "id in the table stacks"),
    Column("outcome", "uint8", "schema.Outcome", "what became of a fault"),
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
        "why the kernel did not recover (outcome oops); null where it is not known",
    ),
    Column(
        "since_ts_ns",
        "int64",
        "ns",
        "lost: time of the first of the events lost, where ts_ns is that of the last",
    ),
)

ARENAS: tuple[Column, ...] = (
    Column("arena", "uint32", "", "index, the key of this table", nullable=False),
    Column("ptr", "uint64", "address", "struct bpf_arena *"),
    Column("generation", "uint32", "", "how many earlier arenas had the same pointer"),
    Column("map_id", "uint32", "", "BPF map id"),
    Column("name", "string", "", "BPF map name"),
    Column("kern_vm_start", "uint64", "address", "kernel address of 32-bit offset 0"),
    Column("user_vm_start", "uint64", "address", "user address of arena page 0"),
    Column("max_entries", "uint32", "pages", "size of the user range"),
    Column("map_flags", "uint32", "", "map_flags the arena was created with"),
    Column("preexisting", "bool", "", "was there before the recording began"),
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
    Column("arena", "uint32", "", "index into arenas: the program's arena, null if it has none"),
    Column("own", "bool", "", "belongs to the recorder itself"),
    Column("preexisting", "bool", "", "was loaded before the recording began"),
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
    Column("ts_ns", "int64", "ns", "resolved by the kernel at this time", nullable=False),
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

#: Tables whose rows are facts about a key: several rows of one key are merged, column by
#: column, the last value that is not null winning.
KEYED: dict[str, str] = {"arenas": "arena", "programs": "prog", "stacks": "stack"}
