"""Generate a large trace in which the cause of every fault is known.

    python -m tests.data.generate_trace EVENTS DIRECTORY

The trace has 16 arenas of 256 MiB, divided into slots of one page (1 % of them of several pages).
Random slots are allocated and freed in turn; after every hundredth slot one page is never used.
10,000 faults are spread evenly over the time. ``truth.parquet``, next to the trace, has one row per
fault: the ``cause``; the nearest live page within 8 pages ``below`` and ``above`` it; and for a
freed page the times in ns when it was last ``allocated`` and ``freed``. One task does everything
in an arena, so there are no races.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from arenatrace.schema import PAGE_SIZE, TABLES, Kind, Outcome
from arenatrace.trace.arrow_schema import arrow_schema
from arenatrace.trace.checksum import crc32
from arenatrace.trace.meta import Meta, write_meta
from arenatrace.trace.seal import ROW_GROUP, parquet_writer

ARENAS = 16
PAGES = 1 << 16
#: Unused pages at the end of each arena.
NEVER = 4096
FAULTS = 10_000
SEVERAL = 16
KERN = 0xFFFF_C900_0000_8000
USER = 0x7F00_1000_0000
_CODE = 0xFFFF_FFFF_A000_0000
#: Slots between two unused pages.
_BETWEEN_HOLES = 100
#: Pages searched for a live one on either side of a fault.
NEAR = 8
_STEP_NS = 1000
#: Random slots tried to find a freed one.
_TRIES = 16

Ints = np.ndarray[Any, np.dtype[Any]]


class Generator:
    """State of all slots, and source of the rows that change it."""

    def __init__(self, seed: int) -> None:
        self._dice = np.random.default_rng(seed)
        first: list[int] = []
        size: list[int] = []
        holes: list[int] = []
        page = 1
        while page < PAGES - NEVER - SEVERAL:
            if len(first) % _BETWEEN_HOLES == _BETWEEN_HOLES - 1:
                holes.append(page)
                page += 1
            pages = int(self._dice.integers(2, SEVERAL + 1)) if self._dice.random() < 0.01 else 1
            first.append(page)
            size.append(pages)
            page += pages
        self._first = np.array(first, np.uint32)
        self._size = np.array(size, np.uint32)
        self._slots = len(first)
        self._holes = np.array(holes, np.int64)
        self._slot_of = np.full(PAGES, -1, np.int64)
        for slot, (start, pages) in enumerate(zip(first, size, strict=True)):
            self._slot_of[start : start + pages] = slot
        self._live = np.zeros(ARENAS * self._slots, np.bool_)
        self._allocated = np.zeros(ARENAS * self._slots, np.int64)
        self._freed = np.zeros(ARENAS * self._slots, np.int64)
        self._seq = 0

    def operations(self, count: int) -> pa.Table:
        """Return ``count`` allocations and frees; each slot alternates."""
        slot = self._dice.integers(0, len(self._live), count)
        order = np.argsort(slot, kind="stable")
        ordered = slot[order]
        starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        nth = np.arange(count) - np.repeat(starts, np.diff(np.r_[starts, count]))
        frees = np.empty(count, np.bool_)
        frees[order] = (nth % 2 == 1) ^ self._live[ordered]
        last = np.r_[starts[1:] - 1, count - 1]
        self._live[ordered[last]] = ~frees[order][last]
        ts = self._times(count)
        # Of several assignments to one slot, numpy keeps the last.
        self._allocated[slot[~frees]] = ts[~frees]
        self._freed[slot[frees]] = ts[frees]
        arena, inside = slot // self._slots, slot % self._slots
        page = self._first[inside]
        user = _user(arena) + page.astype(np.uint64) * PAGE_SIZE
        return self._table(
            count,
            kind=np.where(frees, int(Kind.PAGE_FREE), int(Kind.PAGE_ALLOC)).astype(np.uint8),
            arena=arena.astype(np.uint32),
            pgoff=page,
            pages=self._size[inside],
            addr=np.where(frees, user, np.uint64(0)),
            ret=pa.array(user.astype(np.int64), mask=frees),
            sleepable=np.ones(count, np.bool_),
        )

    def fault(self) -> tuple[pa.Table, dict[str, Any]]:
        """Return a program-side fault and its row of the truth."""
        arena = int(self._dice.integers(0, ARENAS))
        inside = self._dice.integers(0, self._slots, _TRIES)
        slots = arena * self._slots + inside
        freed = inside[(self._freed[slots] > 0) & ~self._live[slots]]
        choice = int(self._dice.integers(0, 8))
        unused = PAGES - NEVER // 2 + int(self._dice.integers(0, NEVER // 2))
        if choice < 5 and len(freed):
            page, cause = int(self._first[freed[0]]), "use-after-free"
        elif choice == 5:
            page, cause = PAGES + unused, "outside-user-range"
        elif choice == 6:
            page, cause = unused, "never-allocated"
        else:
            page, cause = int(self._dice.choice(self._holes)), "never-allocated"
        near = {side: self._nearest(arena, page, side) for side in (-1, 1)}
        if cause == "never-allocated" and {near[-1], near[1]} & {page - 1, page + 1}:
            cause = "out-of-bounds"
        low = (USER & 0xFFFF_FFFF) + page * PAGE_SIZE + int(self._dice.integers(0, 512)) * 8
        where = np.array([arena])
        table = self._table(
            1,
            kind=np.full(1, int(Kind.PROG_FAULT), np.uint8),
            arena=where.astype(np.uint32),
            pgoff=np.array([page], np.uint32),
            addr=_kern(where) + np.uint64(low),
            write=np.zeros(1, np.bool_),
            ip=np.full(1, _CODE + 16, np.uint64),
            prog=where.astype(np.uint32),
            stack=np.ones(1, np.uint32),
            outcome=np.full(1, int(Outcome.ZEROED), np.uint8),
        )
        truth = {"cause": cause, "below": near[-1], "above": near[1]}
        if cause == "use-after-free":
            slot = arena * self._slots + int(freed[0])
            truth |= {"allocated": int(self._allocated[slot]), "freed": int(self._freed[slot])}
        return table, truth

    def _nearest(self, arena: int, page: int, side: int) -> int | None:
        """Return the nearest live page within ``NEAR`` pages below (-1) or above (1) ``page``."""
        for near in range(page + side, page + side * (NEAR + 1), side):
            slot = self._slot_of[near] if 0 <= near < PAGES else -1
            if slot >= 0 and self._live[arena * self._slots + slot]:
                return near
        return None

    def _times(self, count: int) -> Ints:
        """Return the times in ns of the next ``count`` events."""
        return 10_000_000_000 + np.arange(self._seq, self._seq + count) * _STEP_NS

    def _table(self, count: int, **columns: Any) -> pa.Table:
        ts = self._times(count)
        seq = np.arange(self._seq, self._seq + count, dtype=np.uint64)
        self._seq += count
        arena = columns["arena"]
        common = {
            "ts_ns": ts,
            "seq": seq,
            "cpu": (arena % 8).astype(np.uint16),
            "pid": (1000 + arena).astype(np.uint32),
            "tid": (1000 + arena).astype(np.uint32),
            "comm": pa.DictionaryArray.from_arrays(
                arena.astype(np.int32), [f"task{number}" for number in range(ARENAS)]
            ),
            **columns,
        }
        schema = arrow_schema("events")
        arrays = [
            pa.array(common[field.name], field.type)
            if field.name in common
            else pa.nulls(count, field.type)
            for field in schema
        ]
        return pa.Table.from_arrays(arrays, schema=schema)


def _kern(arena: Ints) -> Ints:
    return np.uint64(KERN) + arena.astype(np.uint64) * np.uint64(1 << 33)


def _user(arena: Ints) -> Ints:
    return np.uint64(USER) + arena.astype(np.uint64) * np.uint64(1 << 32)


def _tables(directory: Path) -> None:
    rows: dict[str, list[dict[str, Any]]] = {table: [] for table in TABLES if table != "events"}
    for index in range(ARENAS):
        rows["arenas"].append(
            {
                "arena": index,
                "map_id": index,
                "name": f"arena{index}",
                "kern_vm_start": KERN + index * (1 << 33),
                "user_vm_start": USER + index * (1 << 32),
                "max_entries": PAGES,
                "preexisting": False,
                "create_ts_ns": 9_000_000_000,
            }
        )
        start = _CODE if not index else _CODE + index * 4096
        rows["programs"].append(
            {
                "prog": index,
                "id": index,
                "name": f"prog{index}",
                "type": "struct_ops",
                "arena": index,
                "own": False,
                "load_ts_ns": 9_500_000_000,
                "funcs": [
                    {"name": f"bpf_prog_{index:016x}_run", "start": start, "end": start + 99}
                ],
                "lines": [{"addr": start, "file": "a.bpf.c", "line": 7, "col": 1, "text": "*p"}],
            }
        )
    rows["stacks"].append({"stack": 1, "frames": [_CODE + 16, _CODE + 4096 + 20]})
    for table, listed in rows.items():
        pq.write_table(
            pa.Table.from_pylist(listed, schema=arrow_schema(table)), directory / f"{table}.parquet"
        )


def generate(events: int, directory: Path, seed: int = 1) -> None:
    """Write the trace and its truth to ``directory``; FileExistsError if it exists."""
    directory.mkdir(parents=True)
    generator = Generator(seed)
    truth: list[dict[str, Any]] = []
    written, gathered, rows = 0, [], 0
    with parquet_writer(directory / "events.parquet", "events") as writer:
        for number in range(1, FAULTS + 1):
            upto = (events - FAULTS) * number // FAULTS
            done = generator.operations(upto - written)
            fault, row = generator.fault()
            truth.append(row)
            gathered += [done, fault]
            rows += upto - written + 1
            written = upto
            if rows >= ROW_GROUP or number == FAULTS:
                writer.write_table(pa.concat_tables(gathered), row_group_size=ROW_GROUP)
                gathered, rows = [], 0
    _tables(directory)
    members = ("below", "above", "allocated", "freed")
    kinds = pa.schema([("cause", pa.string()), *((name, pa.int64()) for name in members)])
    pq.write_table(pa.Table.from_pylist(truth, schema=kinds), directory / "truth.parquet")
    names = [f"{table}.parquet" for table in TABLES]
    write_meta(
        directory,
        Meta(
            kernel="synthetic",
            arch="x86_64",
            sealed=True,
            start_ts_ns=9_000_000_000,
            checksums={name: crc32(directory / name) for name in names},
        ),
    )


if __name__ == "__main__":
    generate(int(float(sys.argv[1])), Path(sys.argv[2]))
