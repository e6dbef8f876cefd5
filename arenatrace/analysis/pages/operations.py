"""Operations on given pages: one row per event and page that it covered."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from itertools import chain

import polars as pl

from arenatrace.analysis.pages.page_set import PageSet
from arenatrace.schema import PAGE_SIZE, Kind, Outcome


class Op(IntEnum):
    """Operation on one page, or its outcome."""

    #: ``arena_alloc_pages`` mapped the page.
    ALLOC = 1
    #: ``arena_vm_fault`` mapped the page for user space, or found it mapped.
    USER_MAP = 2
    #: A free that could sleep, or the drain of a deferred free, unmapped the page.
    FREE = 3
    #: ``bpf_arena_reserve_pages`` took the page out of the free set without mapping it.
    RESERVE = 4
    #: A free that could not sleep was queued; the page stays mapped until the drain.
    QUEUE = 5
    #: A touch of the page by user space ended in SIGSEGV.
    SEGV = 6
    #: An allocation by address that asked for the page was refused.
    REFUSED = 7
    #: A kernel-side fault installed the scratch page.
    INSTALL = 8
    #: Any other fault on the page.
    FAULT = 9


#: Operations that determine whether a page is mapped, reserved or free.
STATE_OPS = (Op.ALLOC, Op.USER_MAP, Op.FREE, Op.RESERVE)
#: Operations after which a page is mapped to memory.
LIVE_OPS = (Op.ALLOC, Op.USER_MAP)

#: Task, program and stack of each operation.
WHO = ("pid", "tid", "comm", "prog", "stack")
_COLUMNS = ("ts_ns", "seq", "arena", "pgoff", "pages", *WHO, "op")

#: Columns read from the events; ``addr`` is read only for misaligned reservations.
_EVENT_COLUMNS = (
    *("ts_ns", "seq", "kind", "arena", "pgoff", "pages", "ret", "sleepable", "outcome"),
    *WHO,
)

#: Events per batch, at least, except the last.
_BATCH_ROWS = 1 << 17


def page_operations(events: pl.LazyFrame, pages: pl.DataFrame) -> pl.DataFrame:
    """Return one row per operation and page that it covered, for the pairs in ``pages``.

    The rows have ``page``, ``op`` (``Op``), ``ts_ns`` (time of effect), ``called_ts_ns`` (time of
    the call, earlier for a deferred free), ``seq``, ``pgoff`` and ``pages`` (the whole range), and
    the columns ``WHO``. They are in (ts_ns, seq) order, events of one pair in trace order. A
    deferred free is two rows: ``Op.QUEUE`` and, at the next ``free_drain`` of its arena,
    ``Op.FREE`` with ``drained``. Memory grows with the result, not with the events.

    Args:
        events: the table ``events``.
        pages: pairs of ``arena`` and ``page``.
    """
    page_set = PageSet(pages)
    found = [covering(batch, page_set) for batch in batches(events, page_set)]
    return as_effective(found, events)


def batches(events: pl.LazyFrame, page_set: PageSet) -> Iterator[pl.DataFrame]:
    """Yield the events that may cover a page of ``page_set``, and drains of deferred frees.

    ``events`` is read once, in its own order; the column ``order`` numbers the yielded rows.
    """
    if not len(page_set):
        return
    drain = pl.col("kind") == int(Kind.FREE_DRAIN)
    rows = events.filter(page_set.prefilter(always=drain)).select(_EVENT_COLUMNS)
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
    """Reservations of addresses off a page boundary, read at the first reservation.

    Reading the addresses of all events would double the cost of the pass.
    """

    def __init__(self, events: pl.LazyFrame) -> None:
        self._events = events
        self._rows: pl.DataFrame | None = None

    def mark(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Add ``addr`` to ``rows``: 1 for a misaligned reservation, otherwise null."""
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


def covering(batch: pl.DataFrame, page_set: PageSet) -> pl.DataFrame:
    """Return the operations of ``batch``, once for each page of ``page_set`` that they cover."""
    done = operations(batch.lazy()).collect()
    row, page = page_set.explode(done)
    return done[row].with_columns(page=pl.Series(page_set.pages[page]))


def as_effective(found: list[pl.DataFrame], events: pl.LazyFrame) -> pl.DataFrame:
    """Return the rows of ``page_operations`` from ``found``, frames of ``covering``."""
    empty = operations(events.clear()).with_columns(page=pl.col("pgoff")).collect()
    rows = pl.concat([empty, *found]).with_columns(
        pl.col("comm").cast(pl.String), called_ts_ns=pl.col("ts_ns"), drained=pl.lit(value=False)
    )
    # A stable sort keeps trace order among equal keys.
    return _with_drains(rows.sort("ts_ns", "seq", maintain_order=True), events)


def operations(events: pl.LazyFrame, also: tuple[str, ...] = ()) -> pl.LazyFrame:
    """Return one row per event that is an ``Op``, with its code as ``op``.

    ``also`` names further columns of ``events`` to include.
    """
    kind, ret, outcome = pl.col("kind"), pl.col("ret"), pl.col("outcome")
    alloc, free = kind == int(Kind.PAGE_ALLOC), kind == int(Kind.PAGE_FREE)
    reserve, user = kind == int(Kind.PAGE_RESERVE), kind == int(Kind.USER_FAULT)
    # arena_reserve_pages() returns 0 for a misaligned address and reserves nothing.
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


def explode_pages(rows: pl.LazyFrame, pages: pl.DataFrame) -> pl.LazyFrame:
    """Return ``rows`` with one row per page that they cover and that is in ``pages``."""
    page_set = PageSet(pages)

    def explode_batch(batch: pl.DataFrame) -> pl.DataFrame:
        row, page = page_set.explode(batch)
        return batch[row].with_columns(page=pl.Series(page_set.pages[page]))

    schema = rows.collect_schema()
    return rows.map_batches(explode_batch, streamable=True, schema={**schema, "page": pl.UInt32()})


def _with_drains(rows: pl.DataFrame, events: pl.LazyFrame) -> pl.DataFrame:
    """Add an ``Op.FREE`` for each queued free that was drained.

    ``arena_free_worker`` takes the whole queue when it starts, at the time of ``free_drain``.
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
