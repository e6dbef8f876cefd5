"""Make a large trace whose every fault has a known cause.

    python bench/generate_trace.py EVENTS DIRECTORY

16 arenas of 256 MiB; slots of one page, and 1 % of several, are allocated and freed in turns at
random; 10,000 faults are spread over the time. Beside the trace lies ``truth.parquet`` with the
cause of every fault by its number. One task does everything in an arena, so nothing races.
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

ARENAS = 16
PAGES = 1 << 16
#: Pages at the end of each arena that are never used.
NEVER = 4096
FAULTS = 10_000
SEVERAL = 16
KERN = 0xFFFF_C900_0000_8000
USER = 0x7F00_1000_0000
_CODE = 0xFFFF_FFFF_A000_0000
_CHUNK = 1 << 20
_STEP_NS = 1000

Ints = np.ndarray[Any, np.dtype[Any]]


class Generator:
    """The state of all slots, and the rows that change it."""

    def __init__(self, seed: int) -> None:
        self._dice = np.random.default_rng(seed)
        first, size = [], []
        page = 1
        while page < PAGES - NEVER - SEVERAL:
            pages = int(self._dice.integers(2, SEVERAL + 1)) if self._dice.random() < 0.01 else 1
            first.append(page)
            size.append(pages)
            page += pages
        self._first = np.array(first, np.uint32)
        self._size = np.array(size, np.uint32)
        self._slots = len(first)
        self._live = np.zeros(ARENAS * self._slots, np.bool_)
        self._used = np.zeros(ARENAS * self._slots, np.bool_)
        self._seq = 0

    def operations(self, count: int) -> pa.Table:
        """``count`` allocations and frees: each slot takes turns."""
        slot = self._dice.integers(0, len(self._live), count)
        order = np.argsort(slot, kind="stable")
        ordered = slot[order]
        starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        nth = np.arange(count) - np.repeat(starts, np.diff(np.r_[starts, count]))
        frees = np.empty(count, np.bool_)
        frees[order] = (nth % 2 == 1) ^ self._live[ordered]
        last = np.r_[starts[1:] - 1, count - 1]
        self._live[ordered[last]] = ~frees[order][last]
        self._used[ordered] = True
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

    def faults(self, count: int) -> tuple[pa.Table, list[str]]:
        """``count`` program-side faults and the cause of each."""
        arena = self._dice.integers(0, ARENAS, count)
        wish = self._dice.integers(0, 4, count)
        inside = self._dice.integers(0, self._slots, count)
        slot = arena * self._slots + inside
        freed = (wish < 2) & self._used[slot] & ~self._live[slot]
        never = PAGES - NEVER // 2 + self._dice.integers(0, NEVER // 2, count)
        page = np.where(freed, self._first[inside], never).astype(np.int64)
        outside = ~freed & (wish == 3)
        page = np.where(outside, PAGES + never, page)
        low = (USER & 0xFFFF_FFFF) + page * PAGE_SIZE + self._dice.integers(0, 512, count) * 8
        table = self._table(
            count,
            kind=np.full(count, int(Kind.PROG_FAULT), np.uint8),
            arena=arena.astype(np.uint32),
            pgoff=page.astype(np.uint32),
            addr=_kern(arena) + low.astype(np.uint64),
            write=np.zeros(count, np.bool_),
            ip=np.full(count, _CODE + 16, np.uint64),
            prog=arena.astype(np.uint32),
            stack=np.ones(count, np.uint32),
            outcome=np.full(count, int(Outcome.ZEROED), np.uint8),
        )
        causes = np.select(
            [freed, outside], ["use-after-free", "outside-user-range"], "never-allocated"
        )
        return table, [str(cause) for cause in causes]

    def _table(self, count: int, **columns: Any) -> pa.Table:
        seq = np.arange(self._seq, self._seq + count, dtype=np.uint64)
        self._seq += count
        arena = columns["arena"]
        common = {
            "ts_ns": 10_000_000_000 + seq.astype(np.int64) * _STEP_NS,
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
    """Write the trace and its truth to ``directory``, which must not exist."""
    directory.mkdir(parents=True)
    generator = Generator(seed)
    chunks = max(50, -(-events // _CHUNK))
    causes: list[str] = []
    written = 0
    with pq.ParquetWriter(
        directory / "events.parquet", arrow_schema("events"), compression="zstd"
    ) as writer:
        for chunk in range(chunks):
            faults = FAULTS * (chunk + 1) // chunks - FAULTS * chunk // chunks
            upto = (events - FAULTS) * (chunk + 1) // chunks
            table, new = generator.operations(upto - written), []
            written = upto
            wrong, new = generator.faults(faults)
            causes += new
            writer.write_table(pa.concat_tables([table, wrong]), row_group_size=1 << 17)
    _tables(directory)
    pq.write_table(
        pa.table({"fault": np.arange(1, len(causes) + 1), "cause": causes}),
        directory / "truth.parquet",
    )
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
