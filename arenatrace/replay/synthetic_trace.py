"""Write synthetic events as a trace directory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from arenatrace import __version__
from arenatrace.model.ops import ArenaInfo
from arenatrace.model.synth.event_log import SynthEvent
from arenatrace.model.synth.synthesize import SYNTH_NODES
from arenatrace.schema import PAGE_SIZE, Kind
from arenatrace.trace.arrow_schema import arrow_schema
from arenatrace.trace.meta import Meta
from arenatrace.trace.writer import TraceWriter

_BATCH = 32 * 1024
_PROG_START = 0xFFFF_FFFF_C000_0000
_PROG_BYTES = 512
_START_NS = 1_000_000_000


def write_trace(
    path: Path, arenas: list[ArenaInfo], events: Iterable[SynthEvent], *, profile: str, note: str
) -> int:
    """Write ``events`` to a new trace at ``path`` and return their number.

    ``note`` goes into the warnings of the trace, because no kernel recorded it.

    Raises:
        UsageError: ``path`` exists.
        ArenatraceError: The disk is full.
    """
    meta = Meta(
        kernel="synthetic",
        arch="x86_64",
        start_ts_ns=_START_NS,
        profile=profile,
        notices=(note,),
        tool_version=__version__,
        nr_node_ids=SYNTH_NODES.nr_node_ids,
        online_nodes=tuple(SYNTH_NODES.online or ()),
    )
    count, last_ns = 0, _START_NS
    with TraceWriter(path, meta) as writer:
        writer.append("programs", _batch("programs", [_program(info) for info in arenas]))
        life: dict[int, dict[str, int]] = {info.arena: {} for info in arenas}
        for rows in _batches(events):
            for event in rows:
                if event.kind == Kind.ARENA_CREATE:
                    life[event.arena]["create_ts_ns"] = event.ts_ns
                elif event.kind == Kind.ARENA_DESTROY:
                    life[event.arena]["destroy_ts_ns"] = event.ts_ns
            writer.append("events", _batch("events", [_event(event) for event in rows]))
            count += len(rows)
            last_ns = max(last_ns, rows[-1].ts_ns)
        writer.append(
            "arenas", _batch("arenas", [{**_arena(info), **life[info.arena]} for info in arenas])
        )
        writer.update_meta(end_ts_ns=last_ns)
    return count


def _batches(events: Iterable[SynthEvent]) -> Iterator[list[SynthEvent]]:
    source = iter(events)
    while rows := list(islice(source, _BATCH)):
        yield rows


def _batch(table: str, rows: list[dict[str, Any]]) -> pa.RecordBatch:
    schema = arrow_schema(table)
    columns = [
        pa.array([row.get(name) for row in rows], schema.field(name).type) for name in schema.names
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _event(event: SynthEvent) -> dict[str, Any]:
    faulted = event.kind in (Kind.KERNEL_FAULT, Kind.PROG_FAULT)
    return {
        **vars(event),
        "kind": int(event.kind),
        "outcome": None if event.outcome is None else int(event.outcome),
        "cpu": event.tid % 4,
        "pid": event.tid,
        "comm": "synth",
        "ip": _PROG_START + event.arena * _PROG_BYTES + 64 if faulted else None,
    }


def _arena(info: ArenaInfo) -> dict[str, Any]:
    return {
        "arena": info.arena,
        "ptr": 0xFFFF_8881_0000_0000 + info.arena * PAGE_SIZE,
        "generation": 0,
        "map_id": 10 + info.arena,
        "name": f"synth{info.arena}",
        "kern_vm_start": info.kern_vm_start,
        "user_vm_start": info.user_vm_start,
        "max_entries": info.max_entries,
        "map_flags": info.map_flags,
        "preexisting": False,
    }


def _program(info: ArenaInfo) -> dict[str, Any]:
    start = _PROG_START + info.arena * _PROG_BYTES
    tag = f"{info.arena:016x}"
    name = f"synth{info.arena}"
    return {
        "prog": info.arena,
        "id": 100 + info.arena,
        "name": name,
        "tag": tag,
        "type": "syscall",
        "arena": info.arena,
        "own": False,
        "preexisting": True,
        "funcs": [{"name": f"bpf_prog_{tag}_{name}", "start": start, "end": start + _PROG_BYTES}],
        "lines": [],
    }
