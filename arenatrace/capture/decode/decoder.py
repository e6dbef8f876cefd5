"""Decode event records of the ring into rows of the table ``events``, one batch at a time."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import pyarrow as pa

from arenatrace.capture.decode.arrays import Ints
from arenatrace.capture.decode.dictionary_codes import dictionary_codes
from arenatrace.capture.decode.event_columns import PAGE_OPERATIONS, EventColumns, Who
from arenatrace.capture.decode.index_column import NONE
from arenatrace.capture.decode.kind_masks import KindMasks
from arenatrace.capture.identity.ledger import Ledger
from arenatrace.capture.probes.losses import Loss
from arenatrace.capture.ring.ring_buffer import Records
from arenatrace.schema import FAULT_KINDS, Kind, WireFlag
from arenatrace.trace.arrow_schema import arrow_schema

#: Events that change the meaning of a pointer; rows between two of them are decoded together.
_TURNING_POINTS = (
    Kind.ARENA_CREATE,
    Kind.ARENA_MMAP,
    Kind.ARENA_DESTROY,
    Kind.PROG_LOAD,
    Kind.PROG_UNLOAD,
)


class Decoder:
    """Decodes records into Arrow batches and updates the ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._next_seq = 0
        #: Kernel faults on the way to an oops that are outside every arena.
        self.unrelated_oopses = 0
        #: Decoded events by kind.
        self.counts: dict[Kind, int] = dict.fromkeys(Kind, 0)

    @property
    def ledger(self) -> Ledger:
        """The arenas, programs and stacks of this recording."""
        return self._ledger

    def batch(self, records: Records) -> pa.RecordBatch | None:
        """Return the rows for ``records``, in ring order; None if no row remains.

        The batch does not refer to ``records``, whose memory may be reused.
        """
        kinds = KindMasks(records["kind"])
        records, kinds, who = self._identify(records, kinds)
        if not len(records):
            return None
        for kind, count in kinds.counts.items():
            self.counts[kind] += count
        arenas = self._ledger.arenas
        columns = EventColumns(records, kinds, who, arenas.kern_vm_start, arenas.user_vm_start)
        arrays = columns.arrays(self._take_seq(len(records)))
        schema = arrow_schema("events")
        return pa.RecordBatch.from_arrays([arrays[name] for name in schema.names], schema=schema)

    def lost(self, loss: Loss) -> pa.RecordBatch:
        """Return the row for a loss and its time stretch."""
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

    # ---- arena, program and stack of each record ----

    def _identify(self, records: Records, kinds: KindMasks) -> tuple[Records, KindMasks, Who]:
        who = Who(len(records))
        self._page_stacks(records, kinds, who)
        pointers = records["arena"].copy()
        faults = deque(kinds.rows_of(*FAULT_KINDS))
        gone: list[int] = []
        done = 0
        for turn in (*kinds.rows_of(*_TURNING_POINTS), len(records)):
            self._pointers(pointers[done:turn], slice(done, turn), who)
            while faults and faults[0] < turn:
                at = faults.popleft()
                if not self._fault(records[at], at, who):
                    gone.append(at)
            if turn < len(records):
                self._turn(records[turn], turn, who)
            done = turn + 1
        if not gone:
            return records, kinds, who
        keep = np.ones(len(records), np.bool_)
        keep[gone] = False
        self.unrelated_oopses += int((~keep & kinds.of(Kind.KERNEL_FAULT)).sum())
        records = records[keep]
        return records, KindMasks(records["kind"]), who.only(keep)

    def _turn(self, record: Any, at: int, who: Who) -> None:
        arenas, programs = self._ledger.arenas, self._ledger.programs
        kind, ts_ns, ptr = int(record["kind"]), int(record["ts_ns"]), int(record["arena"])
        if kind == Kind.ARENA_CREATE:
            who.arena.put(at, arenas.created(ptr, ts_ns))
        elif kind == Kind.ARENA_MMAP:
            who.arena.put(at, arenas.mapped(ptr, ts_ns))
        elif kind == Kind.ARENA_DESTROY:
            who.arena.put(at, arenas.destroyed(ptr, ts_ns))
        else:
            start = int(record["ret"]) & 0xFFFFFFFFFFFFFFFF
            if kind == Kind.PROG_LOAD:
                who.prog.put(at, programs.loaded(start, ts_ns))
            else:
                gone = programs.unloaded(start, ts_ns)
                who.prog.put(at, NONE if gone is None else gone)
            if ptr:
                who.arena.put(at, arenas.index(ptr))

    def _pointers(self, pointers: Ints, rows: slice, who: Who) -> None:
        """Set the arenas of a stretch of rows in which each pointer means one arena."""
        codes, firsts = dictionary_codes(pointers)
        indices = [
            self._ledger.arenas.index(ptr) if ptr else NONE for ptr in pointers[firsts].tolist()
        ]
        if codes is not None:
            who.arena.put(rows, np.asarray(indices, np.int32).take(codes))
        elif indices:
            who.arena.put(rows, indices[0])

    def _page_stacks(self, records: Records, kinds: KindMasks, who: Who) -> None:
        """Set the stack ids of page operations."""
        # below level `stacks` none is ever sent; for faults `ip` is the instruction
        if not self._ledger.stacks.has_page_stacks or not kinds.any_of(*PAGE_OPERATIONS):
            return
        hashes = np.where(kinds.of(*PAGE_OPERATIONS), records["ip"], 0)
        codes, firsts = dictionary_codes(hashes)
        found = [self._ledger.stacks.of_page_operation(each) for each in hashes[firsts].tolist()]
        ids = [NONE if each is None else each for each in found]
        everywhere = slice(0, len(hashes))
        if codes is None:
            who.stack.put(everywhere, ids[0])
        else:
            who.stack.put(everywhere, np.asarray(ids, np.int32).take(codes))

    def _fault(self, record: Any, at: int, who: Who) -> bool:
        """Set arena, program and stack of a fault; return False if it is no arena fault."""
        note = None
        if record["stack"]:
            note = self._ledger.claim_stack(
                int(record["ts_ns"]), int(record["cpu"]), int(record["tid"])
            )
        start = int(record["ret"]) & 0xFFFFFFFFFFFFFFFF
        if start:
            who.prog.put(at, self._ledger.programs.index(start, note))
        if note is not None:
            who.stack.put(at, self._ledger.stacks.of_fault(note.frames, int(record["ip"])))
        if record["kind"] == Kind.PROG_FAULT:
            # without a blamed program the arena follows from the address; without an arena BPF code
            # faulted elsewhere
            elsewhere = not record["flags"] & WireFlag.ADDR_IS_OFFSET
        else:
            # the blamed program's arena may not be the touched one; an address outside every arena
            # is another bug, even with a program on the stack
            elsewhere = not record["flags"] & WireFlag.OK
        if not elsewhere:
            return True
        touched = self._ledger.arenas.at_address(int(record["addr"]))
        who.arena.put(at, NONE if touched is None else touched)
        # the arena is unknown while any arena's address is
        return touched is not None or not self._ledger.arenas.all_placed()
