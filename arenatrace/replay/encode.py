"""Encode columns of the table ``events`` for the model, batch by batch.

``arenatrace.model.ops.encode`` defines the encoding of one event; tests compare the two. Arrays
are as narrow as their values allow, because encoding is the largest cost outside the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from arenatrace.model import ops
from arenatrace.model.kernel.arena import BAND_PAGES, RECOVERY_PAGES
from arenatrace.model.kernel.nodes import NUMA_NO_NODE, Nodes, NodeStatus
from arenatrace.replay.survey import Survey
from arenatrace.schema import PAGE_SIZE, Kind

#: The columns of ``events`` that replay reads.
COLUMNS = (
    *("ts_ns", "seq", "tid", "kind", "arena", "pgoff", "pages", "addr", "ret", "write"),
    *("sleepable", "outcome", "prog", "node"),
)

_NODE_NOT_RECORDED = -(1 << 31)
_SHIFT = PAGE_SIZE.bit_length() - 1
_LOW32 = 0xFFFFFFFF

Ints = npt.NDArray[Any]
Columns = Mapping[str, Ints]

#: The same columns without nulls. A missing page, count, arena or program is -1.
FILLED = (
    pl.col("ts_ns", "seq", "kind"),
    pl.col("tid", "addr", "ret", "outcome").fill_null(0),
    pl.col("arena", "pgoff", "pages", "prog").cast(pl.Int64).fill_null(-1),
    pl.col("addr").is_not_null().alias("has_addr"),
    pl.col("write", "sleepable").fill_null(value=False),
    pl.col("node").fill_null(_NODE_NOT_RECORDED),
)


def arrays(filled: pl.DataFrame) -> dict[str, Ints]:
    """Return the columns of ``FILLED`` as arrays."""
    return {name: filled[name].to_numpy() for name in filled.columns}


def encode_columns(
    info: ops.ArenaInfo, columns: Columns, owner: Ints, survey: Survey
) -> ops.Segment:
    """Return the events in ``columns`` as a segment. All are of one arena, or of kind lost.

    ``owner`` is the arena of each program by index, -1 without a known arena.
    """
    return ops.Segment(
        np.ascontiguousarray(columns["ts_ns"]).data,
        np.ascontiguousarray(columns["seq"]).data,
        np.ascontiguousarray(columns["tid"]).data,
        _ops(info, columns, owner, survey).tolist(),
        _pages(info, columns).tolist(),
        columns["pages"].tolist(),
    )


def thread_ids(segment: ops.Segment) -> set[int]:
    """Return the thread ids of a segment."""
    return set(pl.Series(np.asarray(segment.tid)).unique().to_list())


def _is(kind: Ints, *wanted: Kind) -> Ints:
    mask: Ints = kind == int(wanted[0])
    for one in wanted[1:]:
        mask |= kind == int(one)
    return mask


# ---- op codes ----


def _ops(info: ops.ArenaInfo, columns: Columns, owner: Ints, survey: Survey) -> Ints:
    kind, addr, ret = columns["kind"], columns["addr"], columns["ret"]
    op = kind.astype(np.int32)
    alloc, reserve = _is(kind, Kind.PAGE_ALLOC), _is(kind, Kind.PAGE_RESERVE)
    fixed, given = alloc & (addr != 0), ret != 0
    misaligned = (addr.astype(np.uint32) & np.uint32(PAGE_SIZE - 1)) != 0
    refused = alloc & ~given
    for bit, rows in (
        (ops.FIXED, fixed),
        (ops.MISALIGNED, (fixed | reserve) & misaligned),
        (ops.OK, alloc & given | (reserve | _is(kind, Kind.ARENA_MMAP)) & ~given),
        (ops.SLEEPABLE, (_is(kind, Kind.PAGE_FREE) | refused) & columns["sleepable"]),
        (ops.WRITE, _is(kind, Kind.PROG_FAULT) & columns["write"]),
    ):
        op |= rows * np.int32(bit)
    rows_at = np.flatnonzero(_is(kind, Kind.USER_FAULT, Kind.KERNEL_FAULT, Kind.PROG_FAULT))
    op[rows_at] |= columns["outcome"][rows_at].astype(np.int32) << ops.RESULT_SHIFT
    rows_at = np.flatnonzero(reserve & given)
    failed = ret[rows_at]
    errno = np.select([failed == -22, failed == -16], [ops.EINVAL, ops.EBUSY], ops.OTHER_ERRNO)
    op[rows_at] |= errno.astype(np.int32) << ops.RESULT_SHIFT
    rows_at = np.flatnonzero(_is(kind, Kind.KERNEL_FAULT))
    op[rows_at] |= _blame(info, columns["prog"][rows_at], owner)
    op |= _node_bits(info.nodes, columns["node"], alloc, refused)
    if survey.untimed_losses or survey.narrowed:
        op |= np.int32(ops.LOSSY)
    for begin, end in survey.lossy:
        ts_ns = columns["ts_ns"]
        op |= ((ts_ns >= begin) & (ts_ns <= end)) * np.int32(ops.LOSSY)
    return op


def _blame(info: ops.ArenaInfo, prog: Ints, owner: Ints) -> Ints:
    theirs = np.where(prog < len(owner), owner[np.clip(prog, 0, len(owner) - 1)], -1)
    known = (prog >= 0) & (theirs >= 0)
    blame = np.where(theirs == info.arena, ops.BLAME_OWN, ops.BLAME_OTHER)
    return np.where(known, blame, 0).astype(np.int32)


def _node_bits(nodes: Nodes, node: Ints, alloc: Ints, refused: Ints) -> Ints:
    """Return BAD_NODE and UNSURE_NODE of each allocation; nearly all request any node."""
    bits = np.zeros(len(node), np.int32)
    for one in np.unique(node[alloc & (node != NUMA_NO_NODE)]).tolist():
        known = nodes.classify(None if one == _NODE_NOT_RECORDED else one)
        if known == NodeStatus.IMPOSSIBLE:
            bits |= (alloc & (node == one)) * np.int32(ops.BAD_NODE)
        elif known == NodeStatus.UNKNOWN:
            bits |= (refused & (node == one)) * np.int32(ops.UNSURE_NODE)
    return bits


# ---- pages ----


def _pages(info: ops.ArenaInfo, columns: Columns) -> Ints:
    """Return the page of each event by its address; BAD_PAGE where the trace states another."""
    pgoff = columns["pgoff"]
    stated = np.where(pgoff < BAND_PAGES, pgoff, ops.BAD_PAGE)
    kind, addr, ret = columns["kind"], columns["addr"], columns["ret"]
    unplaced = _is(kind, Kind.KERNEL_FAULT) & (stated == ops.NO_PAGE)
    if info.kern_vm_start is not None and info.user_vm_start:
        unplaced &= ~columns["has_addr"]
    stated = np.where(unplaced, ops.UNPLACED, stated)
    if not info.user_vm_start:
        return stated
    alloc, given = _is(kind, Kind.PAGE_ALLOC), ret != 0
    uaddr = np.where(alloc & given, ret.astype(np.uint32), addr.astype(np.uint32))
    computed = _pgoff(info.user_vm_start, uaddr)
    has_page = _is(kind, Kind.PAGE_FREE, Kind.PAGE_RESERVE, Kind.USER_FAULT) & columns["has_addr"]
    has_page |= alloc & (given | (addr != 0))
    agree = (stated == ops.NO_PAGE) | (stated == computed)
    page = np.where(has_page, np.where(agree, computed, ops.BAD_PAGE), stated)
    rows_at = np.flatnonzero(alloc & given)
    page[
        rows_at[~_possible(info.user_vm_start, computed[rows_at], addr[rows_at], ret[rows_at])]
    ] = ops.BAD_PAGE
    if info.kern_vm_start is not None:
        faults = _is(kind, Kind.KERNEL_FAULT, Kind.PROG_FAULT) & columns["has_addr"]
        rows_at = np.flatnonzero(faults)
        computed_at = _fault_pages(info.kern_vm_start, info.user_vm_start, addr[rows_at])
        agree = (stated[rows_at] == ops.NO_PAGE) | (stated[rows_at] == computed_at)
        page[rows_at] = np.where(agree, computed_at, ops.BAD_PAGE)
    return page


def _pgoff(user_vm_start: int, uaddr: Ints) -> Ints:
    """Return compute_pgoff() of the low 32 bits of addresses."""
    return ((uaddr - np.uint32(user_vm_start & _LOW32)) >> np.uint32(_SHIFT)).astype(np.int64)


def _possible(base: int, page: Ints, addr: Ints, ret: Ints) -> Ints:
    """Return whether the result is the address of its page, and of a requested page."""
    is_page_addr: Ints = np.uint64(base) + (
        page.astype(np.uint64) << np.uint64(_SHIFT)
    ) == ret.view(np.uint64)
    matches_request: Ints = (addr == 0) | (_pgoff(base, addr.astype(np.uint32)) == page)
    is_page_addr &= matches_request
    return is_page_addr


def _fault_pages(kern_vm_start: int, user_vm_start: int, addr: Ints) -> Ints:
    offset = addr - np.uint64(kern_vm_start)
    number = offset >> np.uint64(_SHIFT)
    in_band = _pgoff(user_vm_start, offset.astype(np.uint32))
    page = np.where(number < BAND_PAGES, in_band, number.astype(np.int64))
    return np.where(number < RECOVERY_PAGES, page, ops.NO_PAGE)
