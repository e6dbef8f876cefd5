"""Event records of the ring to rows of the table ``events``, a batch at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from arenatrace.capture.few_values import codes_of
from arenatrace.capture.ledger import Ledger
from arenatrace.capture.losses import Loss
from arenatrace.capture.ring import Records
from arenatrace.schema import BAND_SZ, PAGE_SIZE, Kind, Outcome, WireFlag
from arenatrace.trace.arrow_schema import arrow_schema

#: Events that change what a pointer means; the rows between two of them are taken at once.
_TURNING_POINTS = (
    Kind.ARENA_CREATE,
    Kind.ARENA_MMAP,
    Kind.ARENA_DESTROY,
    Kind.PROG_LOAD,
    Kind.PROG_UNLOAD,
)
_FAULTS = (Kind.KERNEL_FAULT, Kind.PROG_FAULT)
_KERNEL_MEMORY = (Kind.KERNEL_ALLOC, Kind.KERNEL_FREE)
#: Their ``ip`` is the hash of their stack, 0 for none.
_PAGE_OPERATIONS = (Kind.PAGE_ALLOC, Kind.PAGE_FREE, Kind.PAGE_RESERVE)

#: Bits of vm_fault_t (enum vm_fault_reason, include/linux/mm_types.h).
_VM_FAULT_SIGBUS = 0x2
_VM_FAULT_SIGSEGV = 0x40
_VM_FAULT_ERROR_OR_RETRY = 0xFFFF

_U32 = 0xFFFFFFFF
_NONE = -1

Ints = npt.NDArray[Any]


class Decoder:
    """Turns records into Arrow batches, keeping the ledger in step."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._next_seq = 0
        #: Kernel faults on their way to an oops that lie outside every arena.
        self.unrelated_oopses = 0
        #: Events of each kind that were decoded.
        self.counts: dict[Kind, int] = dict.fromkeys(Kind, 0)

    @property
    def ledger(self) -> Ledger:
        """Who is who in this recording."""
        return self._ledger

    def batch(self, records: Records) -> pa.RecordBatch | None:
        """The rows for ``records``, in ring order; None if nothing is left of them."""
        records, arena, prog, stack = self._identify(records)
        if not len(records):
            return None
        counted = np.bincount(records["kind"])
        for code in np.flatnonzero(counted).tolist():
            self.counts[Kind(code)] += int(counted[code])
        columns = self._columns(records, arena, prog, stack)
        schema = arrow_schema("events")
        return pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)

    def lost(self, loss: Loss) -> pa.RecordBatch:
        """The row that says what was lost, and between which times."""
        row = {
            "ts_ns": loss.last_ns,
            "since_ts_ns": loss.first_ns,
            "seq": self._take_seq(1),
            "kind": int(Kind.LOST),
            "pages": loss.count,
            "ret": loss.kind,
        }
        self.counts[Kind.LOST] += 1
        return pa.RecordBatch.from_pylist([row], schema=arrow_schema("events"))

    def _take_seq(self, count: int) -> int:
        first = self._next_seq
        self._next_seq += count
        return first

    # ---- who: arena, program and stack of each record ----

    def _identify(self, records: Records) -> tuple[Records, Ints, Ints, Ints]:
        count = len(records)
        arena = np.full(count, _NONE, np.int64)
        prog = np.full(count, _NONE, np.int64)
        stack = np.full(count, _NONE, np.int64)
        keep = np.ones(count, np.bool_)
        done = 0
        for turn in np.flatnonzero(_is(records["kind"], *_TURNING_POINTS)).tolist():
            self._stretch(records, slice(done, turn), arena, prog, stack, keep)
            self._turn(records[turn], turn, arena, prog)
            done = turn + 1
        self._stretch(records, slice(done, count), arena, prog, stack, keep)
        if keep.all():
            return records, arena, prog, stack
        self.unrelated_oopses += int((~keep & (records["kind"] == Kind.KERNEL_FAULT)).sum())
        return records[keep], arena[keep], prog[keep], stack[keep]

    def _turn(self, record: Any, at: int, arena: Ints, prog: Ints) -> None:
        arenas, programs = self._ledger.arenas, self._ledger.programs
        kind, ts_ns, ptr = int(record["kind"]), int(record["ts_ns"]), int(record["arena"])
        if kind == Kind.ARENA_CREATE:
            arena[at] = arenas.created(ptr, ts_ns)
        elif kind == Kind.ARENA_MMAP:
            arena[at] = arenas.mapped(ptr, ts_ns)
        elif kind == Kind.ARENA_DESTROY:
            arena[at] = arenas.destroyed(ptr, ts_ns)
        else:
            start = int(record["ret"]) & 0xFFFFFFFFFFFFFFFF
            if kind == Kind.PROG_LOAD:
                prog[at] = programs.loaded(start, ts_ns)
            else:
                gone = programs.unloaded(start, ts_ns)
                prog[at] = _NONE if gone is None else gone
            if ptr:
                arena[at] = arenas.index(ptr)

    def _stretch(
        self, records: Records, rows: slice, arena: Ints, prog: Ints, stack: Ints, keep: Ints
    ) -> None:
        part = records[rows]
        if not len(part):
            return
        pointers = part["arena"].copy()
        codes, firsts = codes_of(pointers)
        indices = [
            self._ledger.arenas.index(ptr) if ptr else _NONE for ptr in pointers[firsts].tolist()
        ]
        arena[rows] = np.asarray(indices, np.int64)[codes]
        stack[rows] = self._page_stacks(part)
        for at in np.flatnonzero(_is(part["kind"], *_FAULTS)).tolist():
            self._fault(part[at], rows.start + at, arena, prog, stack, keep)

    def _page_stacks(self, part: Records) -> Ints:
        hashes = np.where(_is(part["kind"], *_PAGE_OPERATIONS), part["ip"], 0)
        if not hashes.any():
            return np.full(len(part), _NONE, np.int64)
        distinct, which = np.unique(hashes, return_inverse=True)
        found = [self._ledger.stacks.of_trace(int(each)) for each in distinct]
        ids = np.asarray([_NONE if each is None else each for each in found], np.int64)
        return ids[which]

    def _fault(
        self, record: Any, at: int, arena: Ints, prog: Ints, stack: Ints, keep: Ints
    ) -> None:
        note = None
        if record["stack"]:
            note = self._ledger.claim_stack(
                int(record["ts_ns"]), int(record["cpu"]), int(record["tid"])
            )
        start = int(record["ret"]) & 0xFFFFFFFFFFFFFFFF
        if start:
            prog[at] = self._ledger.programs.index(start, note)
        if note is not None:
            stack[at] = self._ledger.stacks.of_fault(note.frames, int(record["ip"]))
        if record["kind"] == Kind.PROG_FAULT and not record["flags"] & WireFlag.ADDR_IS_OFFSET:
            # no program was named: the arena is that of the address, and without one BPF code
            # touched something else
            touched = self._ledger.arenas.at_address(int(record["addr"]))
            arena[at] = _NONE if touched is None else touched
            keep[at] = touched is not None or not self._ledger.arenas.all_placed()
        recovered = record["flags"] & WireFlag.OK
        if record["kind"] == Kind.KERNEL_FAULT and not recovered:
            # the blamed program's arena need not be the one that was touched
            touched = self._ledger.arenas.at_address(int(record["addr"]))
            arena[at] = _NONE if touched is None else touched
            # an address outside every arena is some other bug, whatever program is on the
            # stack; an arena whose place is unknown leaves it open
            if touched is None and self._ledger.arenas.all_placed():
                keep[at] = False

    # ---- what: the columns ----

    def _columns(
        self, records: Records, arena: Ints, prog: Ints, stack: Ints
    ) -> dict[str, pa.Array]:
        kind = records["kind"].astype(np.uint8)
        flags = records["flags"]
        is_fault = _is(kind, *_FAULTS)
        paged = _is(kind, *_PAGE_OPERATIONS, *_KERNEL_MEMORY)
        addressed = is_fault | paged | (kind == Kind.USER_FAULT)
        returned = _is(
            kind,
            *(*_KERNEL_MEMORY, Kind.PAGE_ALLOC, Kind.PAGE_RESERVE),
            *(Kind.ARENA_MMAP, Kind.USER_FAULT),
        )
        addr, addr_known = self._addresses(records, arena)
        pgoff, pgoff_known = self._page_offsets(records, kind, arena, addr, addr_known)
        outcome = self._outcomes(records, kind)
        error_known = (kind == Kind.KERNEL_FAULT) & ((flags & WireFlag.HAS_ERROR_CODE) != 0)
        seq = self._take_seq(len(records))
        return {
            "ts_ns": pa.array(records["ts_ns"].astype(np.int64)),
            "seq": pa.array(np.arange(seq, seq + len(records), dtype=np.uint64)),
            "cpu": pa.array(records["cpu"]),
            "pid": pa.array(records["pid"]),
            "tid": pa.array(records["tid"]),
            "comm": _names(records["comm"]),
            "kind": pa.array(kind),
            "arena": _nullable(arena, arena != _NONE, np.uint32),
            "pgoff": _nullable(pgoff, pgoff_known, np.uint32),
            "pages": _nullable(records["pages"], paged, np.uint32),
            "addr": _nullable(addr, addressed & addr_known, np.uint64),
            "uaddr": pa.nulls(len(records), pa.uint64()),
            "ret": _nullable(records["ret"], returned, np.int64),
            "write": _nullable(
                (flags & WireFlag.WRITE) != 0, is_fault | (kind == Kind.USER_FAULT), np.bool_
            ),
            "sleepable": _nullable(
                (flags & WireFlag.SLEEPABLE) != 0,
                (kind == Kind.PAGE_ALLOC) | (kind == Kind.PAGE_FREE),
                np.bool_,
            ),
            "error_code": _nullable(records["error_code"], error_known, np.uint32),
            "ip": _nullable(records["ip"], is_fault, np.uint64),
            "prog": _nullable(prog, prog != _NONE, np.uint32),
            "stack": _nullable(stack, stack != _NONE, np.uint32),
            "outcome": _nullable(outcome, outcome != 0, np.uint8),
            "oops_reason": _nullable(
                records["pages"], (outcome == Outcome.OOPS) & (records["pages"] != 0), np.uint8
            ),
            "since_ts_ns": pa.nulls(len(records), pa.int64()),
            "node": _nullable(
                records["error_code"].astype(np.int32), kind == Kind.PAGE_ALLOC, np.int32
            ),
        }

    def _addresses(self, records: Records, arena: Ints) -> tuple[Ints, Ints]:
        """Addresses, and whether each is known: offsets need their arena's kern_vm_start."""
        addr = records["addr"].copy()
        known = np.ones(len(records), np.bool_)
        relative = np.flatnonzero(records["flags"] & WireFlag.ADDR_IS_OFFSET)
        if relative.size:
            kern = self._per_arena(self._ledger.arenas.kern_vm_start, arena[relative])
            addr[relative] += kern
            known[relative] = kern != 0
        return addr, known

    def _page_offsets(
        self, records: Records, kind: Ints, arena: Ints, addr: Ints, addr_known: Ints
    ) -> tuple[Ints, Ints]:
        """Arena page of each record as compute_pgoff() has it, and whether there is one."""
        user = self._per_arena(self._ledger.arenas.user_vm_start, arena)
        kern = self._per_arena(self._ledger.arenas.kern_vm_start, arena)
        by_kernel_address = _is(kind, *_FAULTS, *_KERNEL_MEMORY)
        # an allocation without a wish has its place in the result
        wished = np.where(
            (kind == Kind.PAGE_ALLOC) & (records["ret"] != 0),
            records["ret"].astype(np.uint64),
            addr,
        )
        offset = addr - kern
        low = np.where(by_kernel_address, offset, wished) & np.uint64(_U32)
        pgoff = ((low - (user & np.uint64(_U32))) & np.uint64(_U32)) // np.uint64(PAGE_SIZE)
        known = (user != 0) & addr_known
        known &= np.where(
            by_kernel_address,
            (kern != 0) & (offset < np.uint64(BAND_SZ)),
            _is(kind, Kind.PAGE_FREE, Kind.PAGE_RESERVE, Kind.USER_FAULT)
            | ((kind == Kind.PAGE_ALLOC) & (wished != 0)),
        )
        return pgoff, known

    @staticmethod
    def _per_arena(values: list[int], arena: Ints) -> Ints:
        """One value per row, 0 where the arena or its value is unknown."""
        table = np.asarray([*values, 0], np.uint64)
        return table[arena]  # index -1, no arena, is the 0 at the end

    def _outcomes(self, records: Records, kind: Ints) -> Ints:
        if not _is(kind, *_FAULTS, Kind.USER_FAULT).any():
            return np.zeros(len(kind), np.uint8)
        flags, ret = records["flags"], records["ret"]
        ok = (flags & WireFlag.OK) != 0
        empty = (flags & WireFlag.PTE_WAS_NONE) != 0
        write = (flags & WireFlag.WRITE) != 0
        kernel, user = kind == Kind.KERNEL_FAULT, kind == Kind.USER_FAULT
        # where nobody looked at the entry, either may have happened: no outcome
        seen = (flags & WireFlag.PTE_SEEN) != 0
        installed, mapped_meanwhile = ok & seen & empty, ok & seen & ~empty
        return np.select(
            [
                kernel & installed,
                kernel & mapped_meanwhile,
                kernel & ~ok,
                (kind == Kind.PROG_FAULT) & ~write,
                (kind == Kind.PROG_FAULT) & write,
                user & ((ret & _VM_FAULT_SIGSEGV) != 0),
                user & ((ret & _VM_FAULT_SIGBUS) != 0),
                user & ((ret & _VM_FAULT_ERROR_OR_RETRY) == 0),
            ],
            [
                int(Outcome.SCRATCH_INSTALLED),
                int(Outcome.ALREADY_MAPPED),
                int(Outcome.OOPS),
                int(Outcome.ZEROED),
                int(Outcome.IGNORED),
                int(Outcome.SIGSEGV),
                int(Outcome.SIGBUS),
                int(Outcome.MAPPED),
            ],
            default=0,
        ).astype(np.uint8)


def _is(kind: Ints, *wanted: Kind) -> Ints:
    """Which of the wire values are one of these kinds."""
    table = np.zeros(256, np.bool_)
    table[list(wanted)] = True
    found: Ints = table[kind]
    return found


def _nullable(values: Ints, known: Ints, dtype: type[np.generic]) -> pa.Array:
    if known.all():
        return pa.array(values.astype(dtype))
    if not known.any():
        return pa.nulls(len(known), pa.from_numpy_dtype(dtype))
    # what stands where nothing is known must still fit the narrow type
    return pa.array(np.where(known, values, 0).astype(dtype), mask=~known)


def _names(comm: Ints) -> pa.Array:
    halves = np.ascontiguousarray(comm).view(np.uint64).reshape(len(comm), 2)
    codes, firsts = codes_of(halves[:, 0].copy(), halves[:, 1].copy())
    texts = [
        bytes(comm[row]).split(b"\0", 1)[0].decode("utf-8", "backslashreplace") for row in firsts
    ]
    return pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(texts, pa.string()))
