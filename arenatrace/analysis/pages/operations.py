"""What was done to given pages of the arenas? The events that covered them, page by page."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from itertools import chain

import polars as pl

from arenatrace.analysis.pages.page_set import Places
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

#: Columns of the events that tell of operations; ``addr`` only of those that are misaligned.
_EVENT_COLUMNS = (
    *("ts_ns", "seq", "kind", "arena", "pgoff", "pages", "ret", "sleepable", "outcome"),
    *WHO,
)

#: Events that are looked at together.
_BATCH_ROWS = 1 << 17


def page_operations(events: pl.LazyFrame, pages: pl.DataFrame) -> pl.DataFrame:
    """One row per operation and page that it covered, for the pairs in ``pages``.

    ``pages`` has ``arena`` and ``page``. The rows have ``page``, ``op`` (``Op``), ``ts_ns`` (when
    it took effect), ``called_ts_ns`` (when it was asked for, earlier for a deferred free),
    ``seq``, ``pgoff`` and ``pages`` (the whole range) and who did it. They are in order of
    (ts_ns, seq), events of one pair in the order of the trace. A deferred free is two rows:
    ``Op.QUEUE`` and, at the next ``free_drain`` of its arena, ``Op.FREE`` with ``drained``.
    Memory grows with the rows found, not with the events.
    """
    places = Places(pages)
    found = [covering(batch, places) for batch in batches(events, places)]
    return as_effective(found, events)


def batches(events: pl.LazyFrame, places: Places) -> Iterator[pl.DataFrame]:
    """The events that may have covered a page of ``places``, and drains of deferred frees.

    They are read in the order of ``events``, once; ``order`` counts them.
    """
    if not len(places):
        return
    drain = pl.col("kind") == int(Kind.FREE_DRAIN)
    rows = events.filter(places.sieve(always=drain)).select(_EVENT_COLUMNS)
    misaligned = _Misaligned(events)
    gathered: list[pl.DataFrame] = []
    count = first = 0
    for batch in chain(rows.collect_batches(maintain_order=True, engine="streaming"), [None]):
        if batch is not None:
            gathered.append(batch)
            count += len(batch)
        if count >= (_BATCH_ROWS if batch is not None else 1):
            yield misaligned.mark(pl.concat(gathered)).with_columns(
                order=pl.int_range(first, first + count, dtype=pl.Int64)
            )
            first += count
            gathered, count = [], 0


class _Misaligned:
    """The reservations of addresses that are no page boundary, read when first asked for.

    Reading the addresses of all events would cost as much as all that is read beside them.
    """

    def __init__(self, events: pl.LazyFrame) -> None:
        self._events = events
        self._rows: pl.DataFrame | None = None

    def mark(self, rows: pl.DataFrame) -> pl.DataFrame:
        """``rows`` with ``addr``, which is only right as far as it is aligned or not."""
        reserve = pl.col("kind") == int(Kind.PAGE_RESERVE)
        if self._rows is None and rows.select(reserve.any()).item():
            self._rows = (
                self._events.filter(reserve & (pl.col("addr") % PAGE_SIZE != 0))
                .select("ts_ns", "seq", addr=pl.lit(1, pl.UInt64))
                .unique()
                .collect(engine="streaming")
            )
        if self._rows is None or self._rows.is_empty():
            return rows.with_columns(addr=pl.lit(None, pl.UInt64))
        return rows.join(self._rows, on=["ts_ns", "seq"], how="left", maintain_order="left")


def covering(batch: pl.DataFrame, places: Places) -> pl.DataFrame:
    """The operations of ``batch``, once for each page of ``places`` that they covered."""
    done = operations(batch.lazy()).collect()
    row, page = places.spread(done)
    return done[row].with_columns(page=pl.Series(places.pages[page]))


def as_effective(found: list[pl.DataFrame], events: pl.LazyFrame) -> pl.DataFrame:
    """The operations of ``covering`` as ``page_operations`` has them."""
    empty = operations(events.clear()).with_columns(page=pl.col("pgoff")).collect()
    rows = pl.concat([empty, *found]).with_columns(
        pl.col("comm").cast(pl.String), called_ts_ns=pl.col("ts_ns"), drained=pl.lit(value=False)
    )
    # One order for all that have the same time.
    return _with_drains(rows.sort("ts_ns", "seq", maintain_order=True), events)


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


def spread(rows: pl.LazyFrame, pages: pl.DataFrame) -> pl.LazyFrame:
    """``rows`` of one page or more, once for each page of theirs that is in ``pages``."""
    places = Places(pages)

    def spread_batch(batch: pl.DataFrame) -> pl.DataFrame:
        row, page = places.spread(batch)
        return batch[row].with_columns(page=pl.Series(places.pages[page]))

    schema = rows.collect_schema()
    return rows.map_batches(spread_batch, streamable=True, schema={**schema, "page": pl.UInt32()})


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
