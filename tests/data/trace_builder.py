"""Synthetic traces for tests, written with ``TraceWriter``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from arenatrace.schema import TABLES, Kind, Outcome
from arenatrace.trace.arrow_schema import arrow_schema
from arenatrace.trace.meta import Meta
from arenatrace.trace.writer import TraceWriter

KERN = 0xFFFF_C900_0000_8000
USER = 0x7F00_1000_0000


def sample_meta(**changes: Any) -> Meta:
    """Return a ``Meta`` that does not depend on the machine."""
    values: dict[str, Any] = {
        "kernel": "7.2.13-test",
        "arch": "x86_64",
        "boot_id": "00000000-0000-0000-0000-000000000000",
        "wall_offset_ns": 1_700_000_000_000_000_000,
        "start_ts_ns": 1_000_000_000,
        "end_ts_ns": 3_500_000_000,
        "tool_version": "0.0.test",
    }
    return Meta(**{**values, **changes})


def record_batch(table: str, rows: list[dict[str, Any]]) -> pa.RecordBatch:
    """Return ``rows`` as a batch of ``table``; absent columns are null."""
    schema = arrow_schema(table)
    columns = [pa.array([row.get(f.name) for row in rows], f.type) for f in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


@dataclass
class TraceBuilder:
    """Builder of a trace. Methods add a row and return its index; ``write`` writes the trace."""

    meta: Meta = field(default_factory=sample_meta)
    rows: dict[str, list[dict[str, Any]]] = field(
        default_factory=lambda: {table: [] for table in TABLES}
    )

    def arena(self, **values: Any) -> int:
        """Add an arena, by default of 16 pages at ``KERN`` and ``USER``."""
        index = len(self.rows["arenas"])
        defaults = {
            "arena": index,
            "ptr": 0xFFFF_8881_0000_0000 + index * 4096,
            "generation": 0,
            "map_id": 10 + index,
            "name": f"arena{index}",
            "kern_vm_start": KERN + index * (1 << 33),
            "user_vm_start": USER + index * (1 << 32),
            "max_entries": 16,
            "map_flags": 0x400,
            "preexisting": False,
            "create_ts_ns": 1_000_000_100,
        }
        self.rows["arenas"].append({**defaults, **values})
        return index

    def program(self, name: str, funcs: list[tuple[str, int, int]], **values: Any) -> int:
        """Add a program with the JITed functions ``funcs``, each (name, start, end)."""
        index = len(self.rows["programs"])
        tag = f"{index:016x}"
        defaults = {
            "prog": index,
            "id": 100 + index,
            "name": name,
            "tag": tag,
            "type": "syscall",
            "own": False,
            "preexisting": False,
            "load_ts_ns": 1_000_000_200,
            "funcs": [
                {"name": f"bpf_prog_{tag}_{func}", "start": start, "end": end}
                for func, start, end in funcs
            ],
            "lines": [],
        }
        self.rows["programs"].append({**defaults, **values})
        return index

    def stack(self, *frames: int) -> int:
        """Add a stack, innermost frame first."""
        index = len(self.rows["stacks"]) + 1
        self.rows["stacks"].append({"stack": index, "frames": list(frames)})
        return index

    def symbol(self, addr: int, name: str, **values: Any) -> None:
        """Add the symbol of ``addr``."""
        defaults = {"ts_ns": 1_000_000_000, "addr": addr, "name": name, "offset": 8, "size": 64}
        self.rows["symbols"].append({**defaults, **values})

    def event(self, kind: Kind, **values: Any) -> int:
        """Add an event, by default 1 ms after the last one."""
        seq = len(self.rows["events"])
        defaults = {
            "ts_ns": 1_001_000_000 + seq * 1_000_000,
            "seq": seq,
            "cpu": 0,
            "pid": 42,
            "tid": 43,
            "comm": "tester",
            "kind": int(kind),
        }
        self.rows["events"].append({**defaults, **values})
        return seq

    def kernel_fault(self, **values: Any) -> int:
        """Add a kernel-side fault, by default a recovered read at page 1 of arena 0."""
        defaults = {
            "arena": 0,
            "addr": KERN + (USER & 0xFFFF_FFFF) + 4096,
            "write": False,
            "outcome": int(Outcome.SCRATCH_INSTALLED),
        }
        return self.event(Kind.KERNEL_FAULT, **{**defaults, **values})

    def prog_fault(self, **values: Any) -> int:
        """Add a program-side fault, by default a read at page 1 of arena 0."""
        defaults = {
            "arena": 0,
            "addr": KERN + (USER & 0xFFFF_FFFF) + 4096,
            "write": False,
            "outcome": int(Outcome.ZEROED),
        }
        return self.event(Kind.PROG_FAULT, **{**defaults, **values})

    def write(self, path: Path, *, seal: bool = True, batch_rows: int = 1000) -> Path:
        """Write the trace to ``path`` in batches of ``batch_rows`` rows."""
        writer = TraceWriter(path, self.meta)
        for table, rows in self.rows.items():
            for start in range(0, len(rows), batch_rows):
                writer.append(table, record_batch(table, rows[start : start + batch_rows]))
                writer.flush()
        return writer.close(seal=seal)
