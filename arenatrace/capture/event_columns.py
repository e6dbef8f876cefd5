"""The columns of the table ``events`` from the records of the ring, without a copy too many.

What is in place already goes to Arrow as it is, bitmaps are packed from masks, and a column in
which nothing is known shares its zeros with all others of the kind. Values below a null are
whatever was in the record.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from arenatrace.capture.few_values import codes_of
from arenatrace.capture.kind_masks import Ints, KindMasks, Mask
from arenatrace.capture.ring import RECORD, Records
from arenatrace.schema import BAND_SZ, PAGE_SIZE, Kind, Outcome, WireFlag

NONE = -1
FAULTS = (Kind.KERNEL_FAULT, Kind.PROG_FAULT)
KERNEL_MEMORY = (Kind.KERNEL_ALLOC, Kind.KERNEL_FREE)
#: Their ``ip`` is the hash of their stack, 0 for none.
PAGE_OPERATIONS = (Kind.PAGE_ALLOC, Kind.PAGE_FREE, Kind.PAGE_RESERVE)

#: Bits of vm_fault_t (enum vm_fault_reason, include/linux/mm_types.h).
_VM_FAULT_SIGBUS = 0x2
_VM_FAULT_SIGSEGV = 0x40
_VM_FAULT_ERROR_OR_RETRY = 0xFFFF

_U32 = 0xFFFFFFFF
_COMM = RECORD.fields["comm"][1] if RECORD.fields else 0
#: The 16 bytes of a task's name as two numbers.
_NAME_HALVES = np.dtype(
    {
        "names": ["first", "second"],
        "formats": ["<u8", "<u8"],
        "offsets": [_COMM, _COMM + 8],
        "itemsize": RECORD.itemsize,
    }
)
_PAGE_SHIFT = PAGE_SIZE.bit_length() - 1


class Who:
    """Arena, program and stack of each row; ``NONE`` to begin with."""

    def __init__(self, count: int) -> None:
        self.arena, self.prog, self.stack = (np.full(count, NONE, np.int32) for _ in range(3))

    def only(self, keep: Mask) -> Who:
        """Those of the rows that are kept."""
        kept = Who(0)
        kept.arena, kept.prog, kept.stack = self.arena[keep], self.prog[keep], self.stack[keep]
        return kept


class EventColumns:
    """Arrow arrays of ``records``, with ``who`` they are about.

    ``kern_vm_start`` and ``user_vm_start`` are those of each arena, 0 where not known.
    """

    def __init__(
        self,
        records: Records,
        kinds: KindMasks,
        who: Who,
        kern_vm_start: list[int],
        user_vm_start: list[int],
    ) -> None:
        # numpy takes a single record for contiguous, and would hand out the ring itself
        self._records = records if len(records) > 1 else records.copy()
        self._kinds = kinds
        self._who = who
        self._kern_vm_start, self._user_vm_start = kern_vm_start, user_vm_start

    def arrays(self, first_seq: int) -> dict[str, pa.Array]:
        """Every column by name; ``seq`` counts from ``first_seq``."""
        records, kinds, count = self._records, self._kinds, len(self._records)
        flags = np.ascontiguousarray(records["flags"])
        ret = np.ascontiguousarray(records["ret"])
        pages = np.ascontiguousarray(records["pages"])
        error_code = np.ascontiguousarray(records["error_code"])
        faults = kinds.of(*FAULTS)
        touching = kinds.of(*FAULTS, Kind.USER_FAULT)
        paged = kinds.of(*PAGE_OPERATIONS, *KERNEL_MEMORY)
        returned = kinds.of(
            *(*KERNEL_MEMORY, Kind.PAGE_ALLOC, Kind.PAGE_RESERVE),
            *(Kind.ARENA_MMAP, Kind.USER_FAULT),
        )
        addr, addr_known = self._addresses(flags)
        pgoff, pgoff_known = self._page_offsets(ret, addr, addr_known)
        outcome = self._outcomes(flags, ret)
        error_known = kinds.of(Kind.KERNEL_FAULT) & ((flags & WireFlag.HAS_ERROR_CODE) != 0)
        return {
            "ts_ns": _whole(np.ascontiguousarray(records["ts_ns"]).view(np.int64)),
            "seq": _whole(np.arange(first_seq, first_seq + count, dtype=np.uint64)),
            "cpu": _whole(np.ascontiguousarray(records["cpu"])),
            "pid": _whole(np.ascontiguousarray(records["pid"])),
            "tid": _whole(np.ascontiguousarray(records["tid"])),
            "comm": _names(records),
            "kind": _whole(kinds.kind),
            "arena": _index(self._who.arena),
            "pgoff": _nullable(pgoff, pgoff_known, np.uint32),
            "pages": _nullable(pages, paged, np.uint32),
            "addr": _nullable(addr, (paged | touching) & addr_known, np.uint64),
            "uaddr": _nulls(count, np.uint64),
            "ret": _nullable(ret, returned, np.int64),
            "write": _flag(flags, WireFlag.WRITE, touching),
            "sleepable": _flag(
                flags, WireFlag.SLEEPABLE, kinds.of(Kind.PAGE_ALLOC, Kind.PAGE_FREE)
            ),
            "error_code": _nullable(error_code, error_known, np.uint32),
            "ip": _nullable(records["ip"], faults, np.uint64),
            "prog": _index(self._who.prog),
            "stack": _index(self._who.stack),
            "outcome": _nullable(outcome, outcome != 0, np.uint8),
            "oops_reason": _nullable(pages, (outcome == Outcome.OOPS) & (pages != 0), np.uint8),
            "since_ts_ns": _nulls(count, np.int64),
            "node": _nullable(error_code.view(np.int32), kinds.of(Kind.PAGE_ALLOC), np.int32),
        }

    def _addresses(self, flags: Ints) -> tuple[Ints, Mask]:
        """Addresses, and whether each is known: offsets need their arena's kern_vm_start."""
        addr = np.ascontiguousarray(self._records["addr"])
        known = np.ones(len(addr), np.bool_)
        relative = np.flatnonzero((flags & WireFlag.ADDR_IS_OFFSET) != 0)
        if relative.size:
            kern = _per_arena(self._kern_vm_start, self._who.arena[relative])
            addr[relative] += kern
            known[relative] = kern != 0
        return addr, known

    def _page_offsets(self, ret: Ints, addr: Ints, addr_known: Mask) -> tuple[Ints, Mask]:
        """Arena page of each record as compute_pgoff() has it, and whether there is one."""
        kinds = self._kinds
        user = _per_arena(self._user_vm_start, self._who.arena)
        # an allocation without a wish has its place in the result
        granted = kinds.of(Kind.PAGE_ALLOC) & (ret != 0)
        place = np.where(granted, ret.view(np.uint64), addr) if granted.any() else addr
        pgoff = (place.astype(np.uint32) - user.astype(np.uint32)) >> np.uint32(_PAGE_SHIFT)
        known = kinds.of(Kind.PAGE_FREE, Kind.PAGE_RESERVE, Kind.USER_FAULT)
        known = (known | (kinds.of(Kind.PAGE_ALLOC) & (place != 0))) & (user != 0) & addr_known
        by_kernel_address = np.flatnonzero(kinds.of(*FAULTS, *KERNEL_MEMORY))
        if by_kernel_address.size:
            arena = self._who.arena[by_kernel_address]
            kern = _per_arena(self._kern_vm_start, arena)
            user = _per_arena(self._user_vm_start, arena)
            offset = addr[by_kernel_address] - kern
            pgoff[by_kernel_address] = ((offset - user) & np.uint64(_U32)) >> np.uint64(_PAGE_SHIFT)
            known[by_kernel_address] = (
                addr_known[by_kernel_address]
                & (user != 0)
                & (kern != 0)
                & (offset < np.uint64(BAND_SZ))
            )
        return pgoff, known

    def _outcomes(self, flags: Ints, ret: Ints) -> Ints:
        kinds = self._kinds
        outcome = np.zeros(len(flags), np.uint8)
        if not kinds.any_of(*FAULTS, Kind.USER_FAULT):
            return outcome
        ok = (flags & WireFlag.OK) != 0
        empty = (flags & WireFlag.PTE_WAS_NONE) != 0
        write = (flags & WireFlag.WRITE) != 0
        kernel, user = kinds.of(Kind.KERNEL_FAULT), kinds.of(Kind.USER_FAULT)
        program = kinds.of(Kind.PROG_FAULT)
        # where nobody looked at the entry, either may have happened: no outcome
        seen = (flags & WireFlag.PTE_SEEN) != 0
        answers = (
            (kernel & ok & seen & empty, Outcome.SCRATCH_INSTALLED),
            (kernel & ok & seen & ~empty, Outcome.ALREADY_MAPPED),
            (kernel & ~ok, Outcome.OOPS),
            (program & ~write, Outcome.ZEROED),
            (program & write, Outcome.IGNORED),
            (user & ((ret & _VM_FAULT_ERROR_OR_RETRY) == 0), Outcome.MAPPED),
            # of both, what is decided last: a signal of its own for an address without memory
            (user & ((ret & _VM_FAULT_SIGBUS) != 0), Outcome.SIGBUS),
            (user & ((ret & _VM_FAULT_SIGSEGV) != 0), Outcome.SIGSEGV),
        )
        for rows, answer in answers:
            outcome[rows] = answer
        return outcome


def _per_arena(values: list[int], arena: Ints) -> Ints:
    """One value per row, 0 where the arena or its value is unknown."""
    table = np.asarray([*values, 0], np.uint64)
    if len(arena) and (arena == arena[0]).all():
        return np.broadcast_to(table[arena[0]], len(arena))
    return table[arena]  # index -1, no arena, is the 0 at the end


def _whole(values: Ints) -> pa.Array:
    """A column without nulls, of the memory of ``values``."""
    kind = pa.from_numpy_dtype(values.dtype)
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(values)], 0)


def _nullable(values: Ints, known: Mask, dtype: npt.DTypeLike) -> pa.Array:
    count = int(np.count_nonzero(known))
    if not count and len(known):
        return _nulls(len(known), dtype)
    values = np.ascontiguousarray(values).astype(dtype, copy=False)
    if count == len(known):
        return _whole(values)
    return pa.Array.from_buffers(
        pa.from_numpy_dtype(values.dtype),
        len(values),
        [_bits(known), pa.py_buffer(values)],
        len(known) - count,
    )


def _index(numbers: Ints) -> pa.Array:
    return _nullable(numbers.view(np.uint32), numbers != NONE, np.uint32)


def _flag(flags: Ints, flag: WireFlag, known: Mask) -> pa.Array:
    """A column of one of the flags."""
    count = int(np.count_nonzero(known))
    if not count:
        return _nulls(len(known), np.bool_)
    bitmap = None if count == len(known) else _bits(known)
    values = _bits((flags & flag) != 0)
    return pa.Array.from_buffers(pa.bool_(), len(known), [bitmap, values], len(known) - count)


def _bits(mask: Mask) -> pa.Buffer:
    return pa.py_buffer(np.packbits(mask, bitorder="little"))


@cache
def _zeros(size: int) -> pa.Buffer:
    return pa.py_buffer(bytes(size))


def _nulls(count: int, dtype: npt.DTypeLike) -> pa.Array:
    """A column of nulls; all of them lie in the same zeros."""
    room = 1 << max(12, (count * 8 - 1).bit_length())
    zeros = _zeros(room)
    kind = pa.from_numpy_dtype(np.dtype(dtype))
    return pa.Array.from_buffers(kind, count, [zeros, zeros], count)


def _names(records: Records) -> pa.Array:
    """Task names, as they are few: each once, and a number for each row."""
    halves = records.view(_NAME_HALVES)
    codes, firsts = codes_of(halves["first"], halves["second"])
    texts = [
        bytes(records["comm"][row]).split(b"\0", 1)[0].decode("utf-8", "backslashreplace")
        for row in firsts
    ]
    return pa.DictionaryArray.from_arrays(_whole(codes), pa.array(texts, pa.string()), safe=False)
