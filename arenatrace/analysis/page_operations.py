"""What was done to given pages of the arenas? The events that covered them, page by page."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import polars as pl

from arenatrace.schema import PAGE_SIZE, Kind, Outcome


class Op(IntEnum):
    """What happened to one page."""

    #: ``arena_alloc_pages`` mapped it.
    ALLOC = 1
    #: ``arena_vm_fault`` mapped it for user space, or found it mapped.
    USER_MAP = 2
    #: It was taken away: a free that could sleep, or the drain that did a deferred one.
    FREE = 3
    #: ``bpf_arena_reserve_pages`` took it out of the free set without mapping it.
    RESERVE = 4
    #: A free that could not sleep put it into the queue; it stays mapped.
    QUEUE = 5
    #: User space touched it and was sent SIGSEGV.
    SEGV = 6
    #: An allocation asked for it by address and was refused.
    REFUSED = 7
    #: A kernel-side fault filled it with the scratch page.
    INSTALL = 8
    #: Any other fault on it.
    FAULT = 9


#: Operations that decide whether a page is mapped, reserved or neither.
STATE_OPS = (Op.ALLOC, Op.USER_MAP, Op.FREE, Op.RESERVE)
#: Operations after which a page holds real memory.
LIVE_OPS = (Op.ALLOC, Op.USER_MAP)

#: Who and when, carried along with each operation.
WHO = ("pid", "tid", "comm", "prog", "stack")
_COLUMNS = ("ts_ns", "seq", "arena", "pgoff", "pages", *WHO, "op")

#: An arena has at most 2^20 pages, and a page number is stored in 32 bits.
_ARENA_SHIFT = 32


def page_operations(events: pl.LazyFrame, pages: pl.DataFrame) -> pl.DataFrame:
    """One row per operation and page that it covered, for the pairs in ``pages``.

    ``pages`` has ``arena`` and ``page``. The rows have ``page``, ``op`` (``Op``), ``ts_ns`` (when
    it took effect), ``called_ts_ns`` (when it was asked for, earlier for a deferred free),
    ``seq``, ``pgoff`` and ``pages`` (the whole range) and who did it. They are in order of
    (ts_ns, seq), events of one pair in the order of the trace. A deferred free is two rows:
    ``Op.QUEUE`` and, at the next ``free_drain`` of its arena, ``Op.FREE`` with ``drained``.
    Memory grows with the rows found, not with the events: rows of one page pass a semi join,
    rows of several are cut to the pages asked for before they are spread out.
    """
    keys = pages.select(pl.col("arena", "page").cast(pl.UInt32)).drop_nulls().unique()
    if keys.is_empty():
        return _empty(events)
    covering = operations(events)
    one = pl.col("pages") == 1
    single = covering.filter(one).join(
        keys.lazy(), left_on=["arena", "pgoff"], right_on=["arena", "page"], how="semi"
    )
    found, several = pl.collect_all(
        [
            single.with_columns(page=pl.col("pgoff")),
            spread(covering.filter(pl.col("pages") > 1), keys),
        ],
        engine="streaming",
    )
    return _with_drains(_as_called(pl.concat([found, several])), events)


def _as_called(rows: pl.DataFrame) -> pl.DataFrame:
    """``rows`` in order, each in effect at once; one order for all that have the same time."""
    return rows.with_columns(
        pl.col("comm").cast(pl.String), called_ts_ns=pl.col("ts_ns"), drained=pl.lit(value=False)
    ).sort("ts_ns", "seq", maintain_order=True)


def _empty(events: pl.LazyFrame) -> pl.DataFrame:
    return _as_called(operations(events.clear()).with_columns(page=pl.col("pgoff")).collect())


def operations(events: pl.LazyFrame, also: tuple[str, ...] = ()) -> pl.LazyFrame:
    """The events that can change or meet the state of a page, with ``op``; one row per event.

    ``also`` are further columns of ``events`` to keep.
    """
    kind, ret, outcome = pl.col("kind"), pl.col("ret"), pl.col("outcome")
    alloc, free = kind == int(Kind.PAGE_ALLOC), kind == int(Kind.PAGE_FREE)
    reserve, user = kind == int(Kind.PAGE_RESERVE), kind == int(Kind.USER_FAULT)
    # arena_reserve_pages() says 0 to an address that is no page boundary, and does nothing.
    aligned = (pl.col("addr") % PAGE_SIZE == 0).fill_null(value=True)
    op = (
        pl.when(alloc & (ret != 0))
        .then(int(Op.ALLOC))
        .when(alloc & (ret == 0))
        .then(int(Op.REFUSED))
        .when(free & (pl.col("sleepable") == pl.lit(value=False)))
        .then(int(Op.QUEUE))
        .when(free)
        .then(int(Op.FREE))
        .when(reserve & (ret == 0) & aligned)
        .then(int(Op.RESERVE))
        .when(user & (outcome == int(Outcome.MAPPED)))
        .then(int(Op.USER_MAP))
        .when(user & (outcome == int(Outcome.SIGSEGV)))
        .then(int(Op.SEGV))
        .cast(pl.UInt8)
    )
    pages = pl.when(user).then(pl.lit(1, pl.UInt32)).otherwise(pl.col("pages").fill_null(1))
    return (
        events.filter(
            (alloc | free | reserve | user)
            & pl.col("arena").is_not_null()
            & pl.col("pgoff").is_not_null()
        )
        .with_columns(op=op, pages=pages)
        .filter(pl.col("op").is_not_null() & (pl.col("pages") > 0))
        .select(*_COLUMNS, *also)
    )


def spread(rows: pl.LazyFrame, keys: pl.DataFrame) -> pl.LazyFrame:
    """``rows`` of several pages, once for each page of theirs that is in ``keys``."""
    places = np.sort(_place(keys["arena"], keys["page"]))

    def spread_batch(batch: pl.DataFrame) -> pl.DataFrame:
        start = _place(batch["arena"], batch["pgoff"])
        room = np.uint64((1 << _ARENA_SHIFT) - 1) - batch["pgoff"].to_numpy().astype(np.uint64)
        # Never into the next arena, whatever number of pages a damaged row claims.
        last = start + np.minimum(batch["pages"].to_numpy().astype(np.uint64) - np.uint64(1), room)
        first_key = np.searchsorted(places, start, side="left")
        after_last_key = np.searchsorted(places, last, side="right")
        hits = after_last_key - first_key
        row = np.repeat(np.arange(len(batch)), hits)
        ends = np.cumsum(hits)
        key = np.arange(len(row)) + np.repeat(first_key - (ends - hits), hits)
        page = (places[key] & np.uint64((1 << _ARENA_SHIFT) - 1)).astype(np.uint32)
        return batch[row].with_columns(page=pl.Series(page, dtype=pl.UInt32))

    schema = rows.collect_schema()
    return rows.map_batches(spread_batch, streamable=True, schema={**schema, "page": pl.UInt32()})


def _place(arena: pl.Series, page: pl.Series) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """Arena and page as one number."""
    high = arena.to_numpy().astype(np.uint64) << np.uint64(_ARENA_SHIFT)
    return np.asarray(high | page.to_numpy().astype(np.uint64), dtype=np.uint64)


def _with_drains(rows: pl.DataFrame, events: pl.LazyFrame) -> pl.DataFrame:
    """``rows`` with an ``Op.FREE`` added for each queued free that was drained.

    ``arena_free_worker`` takes everything that is in the queue when it starts, which is when
    ``free_drain`` is stamped.
    """
    queued = rows.filter(pl.col("op") == int(Op.QUEUE))
    if queued.is_empty():
        return rows
    drains = (
        events.filter(pl.col("kind") == int(Kind.FREE_DRAIN))
        .select("arena", "ts_ns", "seq")
        .join(queued.select("arena").unique().lazy(), on="arena", how="semi")
        .collect(engine="streaming")
    )
    calls = queued.with_row_index("call")
    both = pl.concat([calls.select("arena", "ts_ns", "seq", "call"), drains], how="diagonal").sort(
        "arena", "ts_ns", "seq", pl.col("call").is_null()
    )
    drain = pl.when(pl.col("call").is_null()).then(pl.struct("ts_ns", "seq"))
    done = (
        both.with_columns(drain=drain.backward_fill().over("arena"))
        .filter(pl.col("call").is_not_null() & pl.col("drain").is_not_null())
        .select("call", pl.col("drain").struct.rename_fields(["drain_ts_ns", "drain_seq"]))
        .unnest("drain")
    )
    freed = (
        calls.join(done, on="call", maintain_order="left")
        .with_columns(
            op=pl.lit(int(Op.FREE), pl.UInt8),
            ts_ns=pl.col("drain_ts_ns"),
            seq=pl.col("drain_seq"),
            drained=pl.lit(value=True),
        )
        .select(rows.columns)
    )
    return pl.concat([rows, freed]).sort("ts_ns", "seq", maintain_order=True)
