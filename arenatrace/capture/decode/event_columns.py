"""Columns of the table ``events`` from ring records, without extra copies.

Each member is copied out of the records once and used by Arrow in place. Columns that are constant
or all null are shared. Values below a null are undefined.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from arenatrace.capture.decode.arrays import Ints, Mask
from arenatrace.capture.decode.arrow_columns import flags as flag_column
from arenatrace.capture.decode.arrow_columns import index, non_null, nullable, nulls, zeros
from arenatrace.capture.decode.dictionary_codes import dictionary_codes
from arenatrace.capture.decode.index_column import NONE, IndexColumn
from arenatrace.capture.decode.kind_masks import KindMasks
from arenatrace.capture.ring.ring_buffer import RECORD, Records
from arenatrace.schema import BAND_SZ, FAULT_KINDS, PAGE_SIZE, Kind, Outcome, WireFlag

TOUCHING = (*FAULT_KINDS, Kind.USER_FAULT)
KERNEL_MEMORY = (Kind.KERNEL_ALLOC, Kind.KERNEL_FREE)
#: Kinds whose ``ip`` is the hash of their stack, 0 for none.
PAGE_OPERATIONS = (Kind.PAGE_ALLOC, Kind.PAGE_FREE, Kind.PAGE_RESERVE)
_PAGED = (*PAGE_OPERATIONS, *KERNEL_MEMORY)
_RETURNING = (
    *(*KERNEL_MEMORY, Kind.PAGE_ALLOC, Kind.PAGE_RESERVE),
    *(Kind.ARENA_MMAP, Kind.USER_FAULT),
)

#: Bits of vm_fault_t (enum vm_fault_reason, include/linux/mm_types.h).
_VM_FAULT_SIGBUS = 0x2
_VM_FAULT_SIGSEGV = 0x40
_VM_FAULT_ERROR_OR_RETRY = 0xFFFF

_U32 = 0xFFFFFFFF
#: The 16 bytes of a task's name, moved as one value: a complex number has 16 bytes.
_NAME = np.dtype(
    {
        "names": ["name"],
        "formats": ["<c16"],
        "offsets": [RECORD.fields["comm"][1] if RECORD.fields else 0],
        "itemsize": RECORD.itemsize,
    }
)
_PAGE_SHIFT = np.uint32(PAGE_SIZE.bit_length() - 1)
_UINT8, _UINT32, _INT64, _UINT64 = map(np.dtype, (np.uint8, np.uint32, np.int64, np.uint64))


class Who:
    """Arena, program and stack of each row; ``NONE`` initially."""

    def __init__(self, count: int) -> None:
        self.arena, self.prog, self.stack = (IndexColumn(count) for _ in range(3))

    def only(self, keep: Mask) -> Who:
        """Return the selected rows."""
        selected = Who(0)
        selected.arena, selected.prog, selected.stack = (
            numbers.only(keep) for numbers in (self.arena, self.prog, self.stack)
        )
        return selected


class EventColumns:
    """Arrow arrays of ``records`` with the objects ``who``.

    ``kern_vm_start`` and ``user_vm_start`` are those of each arena, 0 where unknown.
    """

    def __init__(
        self,
        records: Records,
        kinds: KindMasks,
        who: Who,
        kern_vm_start: list[int],
        user_vm_start: list[int],
    ) -> None:
        self._records = records
        self._kinds = kinds
        self._who = who
        self._kern_vm_start, self._user_vm_start = kern_vm_start, user_vm_start

    def arrays(self, first_seq: int) -> dict[str, pa.Array]:
        """Return every column by name; ``seq`` counts from ``first_seq``."""
        records, kinds, count = self._records, self._kinds, len(self._records)
        # copies: the kernel continues to write to the ring
        flags = records["flags"].copy()
        ret = records["ret"].copy()
        pages = records["pages"].copy()
        error_code = records["error_code"].copy()
        paged = kinds.of(*_PAGED)
        addr, addr_known = self._addresses(flags)
        pgoff, pgoff_known = self._page_offsets(ret, addr)
        addressed = kinds.of(*_PAGED, *TOUCHING)
        if addr_known is not None:
            pgoff_known, addressed = pgoff_known & addr_known, addressed & addr_known
        return {
            "ts_ns": non_null(records["ts_ns"].copy().view(np.int64)),
            "seq": non_null(
                np.arange(first_seq, first_seq + count, dtype=np.int64).view(np.uint64)
            ),
            "cpu": non_null(records["cpu"].copy()),
            "pid": non_null(records["pid"].copy()),
            "tid": non_null(records["tid"].copy()),
            "comm": _names(records),
            "kind": non_null(kinds.kind),
            "arena": index(self._who.arena, count),
            "pgoff": nullable(pgoff, pgoff_known),
            "pages": nullable(pages, paged),
            "addr": nullable(addr, addressed),
            "uaddr": nulls(count, _UINT64),
            "ret": nullable(ret, kinds.of(*_RETURNING)),
            "sleepable": flag_column(
                _has(flags, WireFlag.SLEEPABLE), kinds.of(Kind.PAGE_ALLOC, Kind.PAGE_FREE)
            ),
            "prog": index(self._who.prog, count),
            "stack": index(self._who.stack, count),
            "since_ts_ns": nulls(count, _INT64),
            "node": nullable(error_code.view(np.int32), kinds.of(Kind.PAGE_ALLOC)),
            **self._of_faults(flags, ret, pages, error_code),
        }

    def _of_faults(
        self, flags: Ints, ret: Ints, pages: Ints, error_code: Ints
    ) -> dict[str, pa.Array]:
        """Return the columns that only faults have."""
        kinds, count = self._kinds, len(flags)
        if not kinds.any_of(*TOUCHING):
            no_codes, no_numbers = nulls(count, _UINT8), nulls(count, _UINT32)
            return {
                "write": nulls(count, np.dtype(np.bool_)),
                "error_code": no_numbers,
                "ip": nulls(count, _UINT64),
                "outcome": no_codes,
                "oops_reason": no_codes,
            }
        outcome = self._outcomes(flags, ret)
        oops = (outcome == Outcome.OOPS) & (pages != 0)
        coded = kinds.of(Kind.KERNEL_FAULT) & _has(flags, WireFlag.HAS_ERROR_CODE)
        return {
            "write": flag_column(_has(flags, WireFlag.WRITE), kinds.of(*TOUCHING)),
            "error_code": nullable(error_code, coded),
            "ip": nullable(self._records["ip"].copy(), kinds.of(*FAULT_KINDS)),
            "outcome": nullable(outcome, outcome != 0),
            "oops_reason": nullable(pages.astype(np.uint8), oops),
        }

    def _addresses(self, flags: Ints) -> tuple[Ints, Mask | None]:
        """Return addresses, and which are known (None: all).

        An address that is an offset needs its arena's kern_vm_start.
        """
        addr = self._records["addr"].copy()
        relative = _has(flags, WireFlag.ADDR_IS_OFFSET)
        if not relative.any():
            return addr, None
        rows = np.flatnonzero(relative)
        kern = _per_arena(self._kern_vm_start, self._who.arena.of(rows))
        addr[rows] += kern
        known = np.ones(len(addr), np.bool_)
        known[rows] = kern != 0
        return addr, known

    def _page_offsets(self, ret: Ints, addr: Ints) -> tuple[Ints, Mask]:
        """Return the arena page of each record as compute_pgoff() has it, and where it is known.

        It is known where the address is.
        """
        kinds = self._kinds
        place = addr.astype(np.uint32)
        known = kinds.of(Kind.PAGE_FREE, Kind.PAGE_RESERVE, Kind.USER_FAULT)
        if kinds.any_of(Kind.PAGE_ALLOC):
            alloc = kinds.of(Kind.PAGE_ALLOC)
            # an allocation at any address has its page in the result
            granted = alloc & (ret != 0)
            other = place ^ ret.astype(np.uint32)
            place ^= other * granted.view(np.uint8)
            if np.count_nonzero(granted) != kinds.counts[Kind.PAGE_ALLOC]:
                alloc = granted | (alloc & (addr != 0))
            known = known | alloc
        user = _per_arena(self._user_vm_start, self._who.arena.constant_or_each())
        pgoff = (place - user.astype(np.uint32)) >> _PAGE_SHIFT
        if not user.all():
            known = known & (user != 0)
        by_kernel_address = np.flatnonzero(kinds.of(*FAULT_KINDS, *KERNEL_MEMORY))
        if by_kernel_address.size:
            arena = self._who.arena.of(by_kernel_address)
            kern = _per_arena(self._kern_vm_start, arena)
            user = _per_arena(self._user_vm_start, arena)
            offset = addr[by_kernel_address] - kern
            pgoff[by_kernel_address] = ((offset - user) & np.uint64(_U32)) >> np.uint64(_PAGE_SHIFT)
            known = known.copy()
            known[by_kernel_address] = (user != 0) & (kern != 0) & (offset < np.uint64(BAND_SZ))
        return pgoff, known

    def _outcomes(self, flags: Ints, ret: Ints) -> Ints:
        kinds = self._kinds
        outcome = np.zeros(len(flags), np.uint8)
        ok = _has(flags, WireFlag.OK)
        empty = _has(flags, WireFlag.PTE_WAS_NONE)
        write = _has(flags, WireFlag.WRITE)
        kernel, user = kinds.of(Kind.KERNEL_FAULT), kinds.of(Kind.USER_FAULT)
        program = kinds.of(Kind.PROG_FAULT)
        # the entry was not seen, so either may have happened: no outcome
        seen = _has(flags, WireFlag.PTE_SEEN)
        answers = (
            (kernel & ok & seen & empty, Outcome.SCRATCH_INSTALLED),
            (kernel & ok & seen & ~empty, Outcome.ALREADY_MAPPED),
            (kernel & ~ok, Outcome.OOPS),
            (program & ~write, Outcome.ZEROED),
            (program & write, Outcome.IGNORED),
            (user & ((ret & _VM_FAULT_ERROR_OR_RETRY) == 0), Outcome.MAPPED),
            # the later value wins where both are set: an address without memory has its own signal
            (user & ((ret & _VM_FAULT_SIGBUS) != 0), Outcome.SIGBUS),
            (user & ((ret & _VM_FAULT_SIGSEGV) != 0), Outcome.SIGSEGV),
        )
        for rows, answer in answers:
            outcome[rows] = answer
        return outcome


def _has(flags: Ints, flag: WireFlag) -> Mask:
    """Return which rows have ``flag``.

    The flag stays a byte, or numpy widens all rows to 64 bits.
    """
    has: Mask = (flags & np.uint8(flag)) != 0
    return has


def _per_arena(values: list[int], arena: int | Ints) -> Ints | np.uint64:
    """Return the value of an arena, or one per row; 0 where the arena or its value is unknown."""
    if isinstance(arena, int):
        return np.uint64(0 if arena == NONE else values[arena])
    # index -1, no arena, selects the 0 at the end
    of_rows: Ints = np.asarray([*values, 0], np.uint64)[arena]
    return of_rows


def _names(records: Records) -> pa.Array:
    """Return task names dictionary-encoded."""
    halves = records.view(_NAME)["name"].copy().view(np.uint64)
    if (halves[2:] == halves[:-2]).all():
        codes, firsts = None, [0]
    else:
        codes, firsts = dictionary_codes(halves[::2].copy(), halves[1::2].copy())
    texts = [
        bytes(records["comm"][row]).split(b"\0", 1)[0].decode("utf-8", "backslashreplace")
        for row in firsts
    ]
    numbers = zeros(len(records)) if codes is None else non_null(codes)
    return pa.DictionaryArray.from_arrays(numbers, pa.array(texts, pa.string()), safe=False)
