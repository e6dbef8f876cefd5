"""A trace as the replayer reads it: facts of its arenas, and segments of encoded events.

``encode`` in ``model.ops`` defines the encoding; here it is done for whole batches at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from arenatrace.model import ops
from arenatrace.model.arena import BAND_PAGES, RECOVERY_PAGES
from arenatrace.model.evidence import Hints
from arenatrace.model.nodes import NodeIs, Nodes
from arenatrace.schema import LOST_NOTES, LOST_STACKS, PAGE_SIZE, Kind, Outcome
from arenatrace.trace.reader import Trace

#: The columns of ``events`` that replay reads.
COLUMNS = (
    *("ts_ns", "seq", "tid", "kind", "arena", "pgoff", "pages", "addr", "ret", "write"),
    *("sleepable", "outcome", "prog", "node"),
)

#: Rows read at a time: one row group of a sealed trace.
BATCH_ROWS = 128 * 1024

#: A loss is noticed this long after it happened, or less, ns.
LOSS_NOTICED_NS = 1_000_000_000

_KINDS = [int(kind) for kind in Kind if kind not in (Kind.PROG_LOAD, Kind.PROG_UNLOAD)]
#: Losses of these kinds leave the state of an arena as it is.
_HARMLESS_LOSSES = [int(kind) for kind in (Kind.PROG_LOAD, Kind.PROG_UNLOAD, Kind.PROG_FAULT)]
_HARMLESS_LABELS = {Kind(code).label for code in _HARMLESS_LOSSES} | {LOST_NOTES, LOST_STACKS}
_NODE_NOT_RECORDED = -(1 << 31)
_SHIFT = PAGE_SIZE.bit_length() - 1
_LOW32 = 0xFFFFFFFF

Ints = npt.NDArray[Any]
Columns = Mapping[str, Ints]


@dataclass(frozen=True)
class Survey:
    """What a look over the trace, without replaying it, gives."""

    facts: dict[int, ops.ArenaFacts]
    #: arena -> events
    sizes: dict[int, int]
    hints: Hints
    #: Times between which events are missing, (from, to) in ns, in order.
    lossy: list[tuple[int, int]]
    #: Losses nothing says the time of: the whole trace is in doubt.
    untimed_losses: int
    kinds: dict[int, int]
    #: A filter left out part of what happens to an arena: the whole trace is in doubt.
    narrowed: bool = False


def survey(trace: Trace) -> Survey:
    """Collect what must be known before replaying. Read errors are polars errors."""
    events = trace.scan("events")
    arenas = trace.scan("arenas").collect()
    nodes = _nodes(trace)
    facts = {row["arena"]: _facts(row, trace.meta.start_ts_ns, nodes) for row in arenas.to_dicts()}
    sizes = events.group_by("arena").len().collect()
    kinds = events.group_by("kind", "outcome").len().collect()
    by_kind: dict[int, int] = {}
    faults = {Outcome.SCRATCH_INSTALLED: 0, Outcome.ALREADY_MAPPED: 0, Outcome.OOPS: 0}
    for kind, outcome, count in kinds.iter_rows():
        by_kind[kind] = by_kind.get(kind, 0) + count
        if kind == Kind.KERNEL_FAULT and outcome in faults:
            faults[outcome] += count
    hints = Hints(
        recorded=trace.meta.profile,
        features=trace.meta.features,
        map_flags=[fact.map_flags for fact in facts.values()],
        recovered=faults[Outcome.SCRATCH_INSTALLED] + faults[Outcome.ALREADY_MAPPED],
        oopsed=faults[Outcome.OOPS],
    )
    known = {arena: count for arena, count in sizes.iter_rows() if arena is not None}
    for arena in known:
        facts.setdefault(arena, ops.ArenaFacts(arena, BAND_PAGES, fresh=False, nodes=nodes))
    lossy, timed = _losses(events)
    # what a filter by program or cgroup left out is as good as lost, at any time
    narrowed = bool(trace.meta.filters.get("program") or trace.meta.filters.get("cgroup"))
    told = sum(count for what, count in trace.meta.lost.items() if what not in _HARMLESS_LABELS)
    return Survey(facts, known, hints, lossy, max(0, told - timed), by_kind, narrowed)


def _nodes(trace: Trace) -> Nodes:
    meta = trace.meta
    online = None if meta.online_nodes is None else frozenset(meta.online_nodes)
    return Nodes(meta.nr_node_ids, online)


def _facts(row: Mapping[str, Any], start_ts_ns: int, nodes: Nodes) -> ops.ArenaFacts:
    created = row["create_ts_ns"]
    # a creation before the start was told by someone else: what came between is missing
    fresh = not row["preexisting"] and created is not None and created >= start_ts_ns
    size = row["max_entries"]
    return ops.ArenaFacts(
        arena=row["arena"],
        max_entries=size if size and size <= BAND_PAGES else BAND_PAGES,
        map_flags=row["map_flags"] or 0,
        kern_vm_start=row["kern_vm_start"],
        user_vm_start=row["user_vm_start"] or None,
        fresh=fresh and bool(size) and size <= BAND_PAGES,
        nodes=nodes,
    )


def _losses(events: pl.LazyFrame) -> tuple[list[tuple[int, int]], int]:
    rows = (
        events.filter(pl.col("kind") == int(Kind.LOST))
        .filter(~pl.col("ret").fill_null(0).is_in(_HARMLESS_LOSSES))
        .select("ts_ns", pl.col("pages").fill_null(1))
        .collect()
    )
    stretches: list[tuple[int, int]] = []
    for end in rows["ts_ns"].to_list():
        begin = end - LOSS_NOTICED_NS
        if stretches and begin <= stretches[-1][1]:
            stretches[-1] = (stretches[-1][0], end)
        else:
            stretches.append((begin, end))
    return stretches, int(rows["pages"].sum())


def segments(
    trace: Trace, found: Survey, arenas: Collection[int]
) -> Iterator[tuple[int, ops.Segment]]:
    """(arena, segment) for each batch of the trace and each of ``arenas`` in it."""
    events = trace.scan("events").select(*COLUMNS)
    programs = trace.scan("programs").select("prog", "arena").collect()
    owner = _owners(programs)
    wanted = pl.col("kind").is_in(_KINDS) & (
        pl.col("arena").is_in(list(arenas)) | (pl.col("kind") == int(Kind.LOST))
    )
    total = int(trace.scan("events").select(pl.len()).collect().item())
    for offset in range(0, total, BATCH_ROWS):
        rows = events.slice(offset, BATCH_ROWS).collect().filter(wanted)
        columns = _arrays(rows)
        lost = columns["kind"] == int(Kind.LOST)
        present = np.unique(columns["arena"][~lost]).tolist()
        for arena in present if not lost.any() else arenas:
            mine = columns
            if len(present) > 1 or lost.any():
                chosen = np.flatnonzero((columns["arena"] == arena) | lost)
                mine = {name: column[chosen] for name, column in columns.items()}
            if len(mine["kind"]):
                yield arena, encode_columns(found.facts[arena], mine, owner, found)


def _owners(programs: pl.DataFrame) -> Ints:
    """Arena of each program by index, -1 where it has none or it is not known."""
    owner = np.full(int(programs["prog"].max() or 0) + 1 if len(programs) else 1, -1, np.int64)  # type: ignore[arg-type]
    for prog, arena in programs.iter_rows():
        owner[prog] = -1 if arena is None else arena
    return owner


def _arrays(rows: pl.DataFrame) -> dict[str, Ints]:
    """The columns as arrays without nulls: -1 for a page, count, arena, program that is none."""
    signed = rows.select(
        "ts_ns",
        pl.col("seq"),
        pl.col("tid").fill_null(0),
        pl.col("kind").cast(pl.Int64),
        *(
            pl.col(name).cast(pl.Int64).fill_null(-1)
            for name in ("arena", "pgoff", "pages", "prog")
        ),
        pl.col("addr").fill_null(0),
        pl.col("addr").is_not_null().alias("has_addr"),
        pl.col("ret").fill_null(0),
        pl.col("write").fill_null(value=False),
        pl.col("sleepable").fill_null(value=False),
        pl.col("outcome").cast(pl.Int64).fill_null(0),
        pl.col("node").fill_null(_NODE_NOT_RECORDED),
    )
    return {name: signed[name].to_numpy() for name in signed.columns}


def encode_columns(
    facts: ops.ArenaFacts, columns: Columns, owner: Ints, found: Survey
) -> ops.Segment:
    """The events in ``columns``, all of one arena (or lost), as a segment."""
    kind = columns["kind"]
    op = kind.copy()
    pgoff = columns["pgoff"]
    page = np.where(pgoff < BAND_PAGES, pgoff, ops.BAD_PAGE)
    addr, ret = columns["addr"], columns["ret"]
    alloc, free, reserve, user = (
        kind == int(which)
        for which in (Kind.PAGE_ALLOC, Kind.PAGE_FREE, Kind.PAGE_RESERVE, Kind.USER_FAULT)
    )
    fault = (kind == int(Kind.KERNEL_FAULT)) | (kind == int(Kind.PROG_FAULT))
    misaligned = (addr & np.uint64(PAGE_SIZE - 1)) != 0
    fixed, given = addr != 0, ret != 0
    op |= np.where(alloc & fixed, ops.FIXED, 0)
    op |= np.where((alloc & fixed | reserve) & misaligned, ops.MISALIGNED, 0)
    op |= np.where(alloc & given, ops.OK, 0)
    op |= np.where((free | alloc & ~given) & columns["sleepable"], ops.SLEEPABLE, 0)
    op |= np.where((reserve | (kind == int(Kind.ARENA_MMAP))) & ~given, ops.OK, 0)
    errno = np.select([ret == -22, ret == -16], [ops.EINVAL, ops.EBUSY], ops.OTHER_ERRNO)
    op |= np.where(reserve & given, errno << ops.RESULT_SHIFT, 0)
    op |= np.where(user | fault, columns["outcome"] << ops.RESULT_SHIFT, 0)
    op |= np.where((kind == int(Kind.PROG_FAULT)) & columns["write"], ops.WRITE, 0)
    op |= _blame(facts, columns, owner)
    op |= np.where(alloc, _node_bits(facts.nodes, columns["node"], given), 0)
    op |= np.where(_lossy(columns["ts_ns"], found), ops.LOSSY, 0)
    if facts.user_vm_start:
        page = np.where(
            alloc,
            _alloc_pages(facts.user_vm_start, page, addr, ret),
            np.where(
                (free | reserve | user) & columns["has_addr"],
                _agreed(page, _pgoff(facts.user_vm_start, addr)),
                page,
            ),
        )
        if facts.kern_vm_start is not None:
            at = _fault_pages(facts.kern_vm_start, facts.user_vm_start, addr)
            page = np.where(fault & columns["has_addr"], _agreed(page, at), page)
    return ops.Segment(
        np.ascontiguousarray(columns["ts_ns"]).data,
        np.ascontiguousarray(columns["seq"]).data,
        np.ascontiguousarray(columns["tid"]).data,
        op.tolist(),
        page.tolist(),
        columns["pages"].tolist(),
    )


def _blame(facts: ops.ArenaFacts, columns: Columns, owner: Ints) -> Ints:
    prog = columns["prog"]
    theirs = np.where(prog < len(owner), owner[np.clip(prog, 0, len(owner) - 1)], -1)
    told = (columns["kind"] == int(Kind.KERNEL_FAULT)) & (prog >= 0) & (theirs >= 0)
    own = theirs == facts.arena
    return np.where(told, np.where(own, ops.BLAME_OWN, ops.BLAME_OTHER), 0)


def _node_bits(nodes: Nodes, node: Ints, given: Ints) -> Ints:
    """What the NUMA node says of an allocation; nearly all name the same one or two."""
    named, which = np.unique(node, return_inverse=True)
    known = [nodes.judge(None if one == _NODE_NOT_RECORDED else one) for one in named.tolist()]
    impossible = np.array([one == NodeIs.IMPOSSIBLE for one in known])[which]
    unsure = np.array([one == NodeIs.UNKNOWN for one in known])[which]
    return np.where(impossible, ops.BAD_NODE, np.where(unsure & ~given, ops.UNSURE_NODE, 0))


def _lossy(ts_ns: Ints, found: Survey) -> Ints:
    lossy = np.full(len(ts_ns), bool(found.untimed_losses) or found.narrowed)
    for begin, end in found.lossy:
        lossy |= (ts_ns >= begin) & (ts_ns <= end)
    return lossy


def _pgoff(user_vm_start: int, uaddr: Ints) -> Ints:
    low = np.uint64(user_vm_start & _LOW32)
    return (((uaddr - low) & np.uint64(_LOW32)) >> np.uint64(_SHIFT)).astype(np.int64)


def _agreed(stated: Ints, computed: Ints) -> Ints:
    agree = (stated == ops.NO_PAGE) | (stated == computed)
    return np.where(agree, computed, ops.BAD_PAGE)


def _alloc_pages(base: int, stated: Ints, addr: Ints, ret: Ints) -> Ints:
    given, fixed = ret != 0, addr != 0
    result = ret.astype(np.uint64)
    by_ret, by_addr = _pgoff(base, result), _pgoff(base, addr)
    whole = np.uint64(base) + by_ret.astype(np.uint64) * np.uint64(PAGE_SIZE) == result
    good = whole & (~fixed | (by_addr == by_ret))
    granted = np.where(good, _agreed(stated, by_ret), ops.BAD_PAGE)
    return np.where(given, granted, np.where(fixed, _agreed(stated, by_addr), stated))


def _fault_pages(kern_vm_start: int, user_vm_start: int, addr: Ints) -> Ints:
    offset = addr - np.uint64(kern_vm_start)
    number = offset >> np.uint64(_SHIFT)
    in_band = _pgoff(user_vm_start, offset)
    page = np.where(number < BAND_PAGES, in_band, number.astype(np.int64))
    return np.where(number < RECOVERY_PAGES, page, ops.NO_PAGE)
