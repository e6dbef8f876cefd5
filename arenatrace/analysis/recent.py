"""The events of a recording under way, as far as faults need them, in bounded memory."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from arenatrace.analysis.fault_tally import Tally
from arenatrace.analysis.faults import diagnosed_faults, fault_contract
from arenatrace.analysis.totals import arena_totals, event_totals
from arenatrace.schema import KEYED, TABLES, Kind
from arenatrace.trace.merge import merge_rows
from arenatrace.trace.meta import Meta
from arenatrace.trace.polars_schema import polars_schema
from arenatrace.trace.reader import Trace

#: Faults that are held; older ones are only tallied.
FAULTS = 2_000
#: Operations on pages that are held at most, and new ones between two clean-ups.
OPERATIONS = 300_000
FRESH = 300_000
#: Of one kind of operation on one range of pages so many are held: what a page's state, its
#: last free and its last allocation follow from, however often it was used before. One, once
#: that many do not fit.
EACH = 4
#: Marks of losses that are held. Those beyond it put all that is known into doubt.
LOSSES = 1_000
#: Rows of stacks, symbols and programs beyond which those no fault needs are let go.
ROWS = 20_000

_FAULT_KINDS = [int(Kind.KERNEL_FAULT), int(Kind.PROG_FAULT)]
_PAGE_KINDS = [
    int(kind) for kind in (Kind.PAGE_ALLOC, Kind.PAGE_FREE, Kind.PAGE_RESERVE, Kind.USER_FAULT)
]
_KERNEL_KINDS = [int(Kind.KERNEL_ALLOC), int(Kind.KERNEL_FREE)]
_DRAIN, _LOST = int(Kind.FREE_DRAIN), int(Kind.LOST)
_ORDER = ["ts_ns", "seq"]


class Recent:
    """Takes batches of all tables; ``diagnosed`` are the faults of what is held of them.

    ``totals`` count everything that ever came. ``unlisted`` faults are no longer held, but
    ``tally`` has them. ``forgotten_ns`` is the time up to which operations were let go that
    were the only ones of their pages (none: None): pages of arenas older than that count as
    unknown, never as free.

    Before operations are let go the faults are ``settled``: diagnosed for good, while all that
    explains them is there. Faults up to number ``settled`` are so.
    """

    def __init__(self, path: Path, meta: Meta) -> None:
        self.path = path
        self.meta = meta
        self.totals: dict[str, int] = {}
        self.last_ts_ns: int | None = None
        self.unlisted = 0
        self.settled = 0
        self.forgotten_ns: int | None = None
        self.tally = Tally()
        self._rows: pl.DataFrame | None = None
        self._faults = _empty("events")
        self._held = _empty("events")
        self._fresh: list[pl.DataFrame] = []
        self._losses = _empty("events")
        self._kernel = _empty("events")
        self._each = EACH
        self._operations = arena_totals(self._held.lazy()).collect()
        self._tables = {name: _empty(name) for name in TABLES if name != "events"}

    def add(self, table: str, rows: pl.DataFrame) -> None:
        """Take a batch."""
        if table == "events":
            self._add_events(rows)
            return
        merged = merge_rows(table, pl.concat([self._tables[table], rows]).lazy()).collect()
        if table == "symbols":
            merged = merged.unique(["addr", "name", "module"], keep="first", maintain_order=True)
        self._tables[table] = self._pruned(table, merged) if len(merged) > ROWS else merged

    def diagnosed(self) -> pl.DataFrame:
        """Rows of ``diagnosed_faults`` for all faults that are held."""
        if self._rows is not None and self.unlisted + len(self._faults) == self.settled:
            return self._rows
        rows = diagnosed_faults(self.trace(), first=self.unlisted + 1)
        if self._rows is None:
            return rows
        new = rows.filter(pl.col("fault") > self.settled)
        return pl.concat([self._rows, new], how="vertical_relaxed")

    def trace(self) -> Trace:
        """What is held, as a trace."""
        held = [self._held, *self._fresh, self._faults, self._kernel, self._losses]
        events = pl.concat(held).sort(_ORDER)
        tables = {name: rows.lazy() for name, rows in self._tables.items()}
        tables["events"] = events.lazy()
        if self.forgotten_ns is not None:
            old = pl.col("create_ts_ns").is_null() | (pl.col("create_ts_ns") <= self.forgotten_ns)
            tables["arenas"] = tables["arenas"].with_columns(
                preexisting=pl.col("preexisting").fill_null(value=False) | old
            )
        trace = Trace(self.path, self.meta, tables)
        trace.lost["recorded"] = max(self.totals.get("lost", 0), sum(self.meta.lost.values()))
        return trace

    @property
    def fault_count(self) -> int:
        """Faults that came so far."""
        return self.unlisted + len(self._faults)

    @property
    def operations(self) -> pl.DataFrame:
        """By ``arena``: ``allocs``, ``frees`` and ``reserves`` so far."""
        return self._operations

    def table(self, name: str) -> pl.DataFrame:
        """One of the tables other than events."""
        return self._tables[name]

    def _add_events(self, rows: pl.DataFrame) -> None:
        for name, number in event_totals(rows.lazy()).collect().row(0, named=True).items():
            if name == "last_ts_ns":
                self.last_ts_ns = max(self.last_ts_ns or 0, number or 0)
            else:
                self.totals[name] = self.totals.get(name, 0) + number
        kind = pl.col("kind")
        lost = rows.filter(kind == _LOST)
        if len(lost):
            count = int(lost["pages"].fill_null(1).cast(pl.Int64).sum())
            self.totals["lost"] = self.totals.get("lost", 0) + count
            self._losses = pl.concat([self._losses, lost]).tail(LOSSES)
        beside = rows.filter(kind.is_in(_KERNEL_KINDS))
        if len(beside):
            self._kernel = pl.concat([self._kernel, beside]).tail(FAULTS)
        wrong = rows.filter(kind.is_in(_FAULT_KINDS))
        if len(wrong):
            self._faults = pl.concat([self._faults, wrong])
        both = pl.concat([self._operations, arena_totals(rows.lazy()).collect()])
        self._operations = both.group_by("arena").sum()
        self._fresh.append(rows.filter(kind.is_in([*_PAGE_KINDS, _DRAIN])))
        waiting = self.unlisted + len(self._faults) - self.settled
        if waiting > FAULTS or sum(map(len, self._fresh)) > FRESH:
            self._settle()

    def _settle(self) -> None:
        self._faults = self._faults.sort(_ORDER)
        rows = self.diagnosed()
        self.settled = self.unlisted + len(self._faults)
        # what becomes of a scratch page that still stands is not followed any further
        rows = rows.with_columns(
            ended_by=pl.when(pl.col("ended_by") != "open").then(pl.col("ended_by"))
        )
        extra = max(0, len(rows) - FAULTS)
        self.tally.add(fault_contract(rows.head(extra).lazy()).collect())
        self.unlisted += extra
        self._faults = self._faults.slice(extra)
        self._rows = rows.slice(extra)
        events = pl.concat([self._held, *self._fresh]).sort(_ORDER)
        self._fresh = []
        self._held = last_operations(events, self._each)
        if len(self._held) > OPERATIONS and self._each > 1:
            self._each = 1
            self._held = last_operations(self._held, 1)
        if len(self._held) <= OPERATIONS:
            return
        extra = len(self._held) - OPERATIONS
        self.forgotten_ns = int(self._held["ts_ns"][extra - 1])
        self._held = self._held.slice(extra)

    def _pruned(self, table: str, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows that faults need, and the newest: they may belong to faults to come."""
        new = pl.int_range(pl.len()) >= len(rows) - ROWS // 2
        if table == "stacks":
            return rows.filter(pl.col("stack").is_in(self._faults["stack"].implode()) | new)
        if table == "symbols":
            frames = self._tables["stacks"]["frames"].explode()
            used = pl.concat([frames, self._faults["ip"]]).drop_nulls().unique()
            return rows.filter(pl.col("addr").is_in(used.implode()) | new)
        return rows if table in KEYED else rows.tail(ROWS)


def _empty(table: str) -> pl.DataFrame:
    return pl.DataFrame(schema=polars_schema(table))


def last_operations(rows: pl.DataFrame, each: int) -> pl.DataFrame:
    """The last ``each`` operations of a kind on a range of pages, and the drains they need.

    ``rows`` are in order of (ts_ns, seq), and so is the result.
    """
    key = ["arena", "kind", "pgoff", "pages", "sleepable", "failed"]
    numbered = rows.with_row_index("place").with_columns(failed=pl.col("ret") == 0)
    operations = numbered.filter(pl.col("kind") != _DRAIN)
    kept = operations.group_by(key).tail(each).select(numbered.columns)
    drains = numbered.filter(pl.col("kind") == _DRAIN).select("place", "arena", drain="place")
    queued = kept.filter(
        (pl.col("kind") == int(Kind.PAGE_FREE)) & ~pl.col("sleepable").fill_null(value=True)
    )
    needed = (
        queued.select("place", "arena")
        .sort("place")
        .join_asof(
            drains.sort("place"),
            on="place",
            by="arena",
            strategy="forward",
            check_sortedness=False,
        )["drain"]
        .drop_nulls()
        .unique()
    )
    return (
        pl.concat([kept, numbered.filter(pl.col("place").is_in(needed.implode()))])
        .sort("place")
        .select(rows.columns)
    )
