"""The events of a recording under way, as far as faults need them, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from arenatrace.analysis.explanation import EXPLAINING
from arenatrace.analysis.live import eviction, retained
from arenatrace.analysis.live.retained import Held, Kept, empty, nothing_kept
from arenatrace.analysis.totals import arena_totals, event_totals
from arenatrace.schema import FAULT_KINDS, KEYED, TABLES, Kind
from arenatrace.trace.losses import label_of
from arenatrace.trace.merge import merge_rows
from arenatrace.trace.meta import Meta

#: Marks of losses that are held. Those beyond it put all that is known into doubt.
LOSSES = 1_000

#: Batches of fewer rows are joined: a window of small ones would be thousands of frames.
_JOINED = 10_000

_FAULT_KINDS = [int(kind) for kind in FAULT_KINDS]
_PAGE_KINDS = [
    int(kind) for kind in (Kind.PAGE_ALLOC, Kind.PAGE_FREE, Kind.PAGE_RESERVE, Kind.USER_FAULT)
]
_KERNEL_KINDS = [int(Kind.KERNEL_ALLOC), int(Kind.KERNEL_FREE)]
#: Columns of faults that are keys of other tables.
_POINTERS = ["arena", "prog", "stack", "ip"]
_DRAIN, _LOST = int(Kind.FREE_DRAIN), int(Kind.LOST)


class Recent:
    """Takes batches of all tables, as fast as they come; ``held`` is what is left of them.

    ``totals`` count everything that ever came, ``let_go`` what its table no longer lists, of
    stacks only those that something held points at. While
    ``due`` somebody must settle: work out ``held().settled(...)``, which takes long and may be
    done in another thread, and give it to ``adopt``. While ``full`` no batch may be added.
    """

    def __init__(self, path: Path, meta: Meta) -> None:
        self.path = path
        self.meta = meta
        self.totals: dict[str, int] = {}
        self.last_ts_ns: int | None = None
        self.let_go: dict[str, int] = {"arenas": 0, "programs": 0, "stacks": 0}
        self._kept: Kept = nothing_kept()
        self._fresh: list[pl.DataFrame] = []
        self._fresh_rows = 0
        self._faults = empty("events")
        self._losses = empty("events")
        self._lost: dict[str, int] = {}
        self._kernel = empty("events")
        self._operations = arena_totals(self._faults.lazy()).collect()
        self._tables = {name: empty(name) for name in TABLES if name != "events"}

    def add(self, table: str, rows: pl.DataFrame) -> None:
        """Take a batch."""
        if table == "events":
            self._add_events(rows)
            return
        merged = merge_rows(table, pl.concat([self._tables[table], rows]).lazy()).collect()
        if table == "symbols":
            merged = merged.unique(["addr", "name", "module"], keep="first", maintain_order=True)
        needed = self._needed()
        if table == "stacks" and len(merged) > eviction.ROWS:
            needed = pl.concat([needed, *self._stacks_of_operations()], how="diagonal")
        kept = eviction.kept_rows(table, {**self._tables, table: merged}, needed)
        if table in self.let_go and len(kept) < len(merged):
            gone = merged.join(kept, on=KEYED[table], how="anti")
            if table == "stacks":
                gone = gone.join(needed, on="stack", how="semi")
            self.let_go[table] += len(gone)
        self._tables[table] = kept

    def held(self) -> Held:
        """What is held by now."""
        return Held(
            path=self.path,
            meta=self.meta,
            lost={
                label: max(count, self.meta.lost.get(label, 0))
                for label, count in self._lost.items()
            },
            tables=dict(self._tables),
            kept=self._kept,
            fresh=tuple(self._fresh),
            faults=self._faults,
            beside=(self._kernel, self._losses),
        )

    def adopt(self, before: Held, kept: Kept) -> None:
        """Hold ``kept``, worked out from ``before``, and what came since; one at a time."""
        if before.moves_on:
            gone = sum(map(len, before.fresh))
            self._fresh = [rest for rest in _without_first(gone, self._fresh) if len(rest)]
            self._fresh_rows -= gone
        self._faults = self._faults.slice(len(before.faults)).rechunk()
        self._kept = kept

    def settle(self) -> None:
        """Diagnose the faults for good, and let go of what is not needed any more."""
        before = self.held()
        self.adopt(before, before.settled(before.diagnosed()))

    @property
    def due(self) -> bool:
        """Whether enough has come to settle."""
        return len(self._faults) > retained.FAULTS or self._fresh_rows > retained.FRESH

    @property
    def full(self) -> bool:
        """Whether so much has come that it must be settled before more is taken."""
        return len(self._faults) > 2 * retained.FAULTS or self._fresh_rows > 2 * retained.FRESH

    @property
    def fault_count(self) -> int:
        """Faults that came so far."""
        return self._kept.settled + len(self._faults)

    @property
    def since_ns(self) -> int | None:
        """From when on the states of all pages can be told, None: from the beginning."""
        return self._kept.since_ns

    @property
    def operations(self) -> pl.DataFrame:
        """By ``arena``: ``allocs``, ``frees`` and ``reserves`` so far."""
        return self._operations

    def table(self, name: str) -> pl.DataFrame:
        """One of the tables other than events."""
        return self._tables[name]

    def _add_events(self, rows: pl.DataFrame) -> None:
        rows = rows.with_columns(pl.col("comm").cast(pl.String))
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
            for code, number in lost.select("ret", pl.col("pages").fill_null(1)).iter_rows():
                label = label_of(code or 0)
                self._lost[label] = self._lost.get(label, 0) + number
            self._losses = pl.concat([self._losses, lost]).tail(LOSSES).rechunk()
        beside = rows.filter(kind.is_in(_KERNEL_KINDS))
        if len(beside):
            self._kernel = pl.concat([self._kernel, beside]).tail(retained.FAULTS).rechunk()
        wrong = rows.filter(kind.is_in(_FAULT_KINDS))
        if len(wrong):
            self._faults = pl.concat([self._faults, wrong])
        self._count_operations(rows)
        fresh = rows.filter(kind.is_in([*_PAGE_KINDS, _DRAIN]))
        if len(fresh):
            self._fresh_rows += len(fresh)
            if self._fresh and len(self._fresh[-1]) < _JOINED:
                fresh = pl.concat([self._fresh.pop(), fresh]).rechunk()
            self._fresh.append(fresh)

    def _needed(self) -> pl.DataFrame:
        """What the faults that are held, and what explains them, point at in other tables."""
        faults = pl.concat([self._kept.faults, self._faults]).select(_POINTERS)
        rows = self._kept.rows
        if rows is None:
            return faults
        explaining = [
            rows.select(pl.col(name).struct.field("stack", "prog")) for name in EXPLAINING
        ]
        return pl.concat([faults, *explaining], how="diagonal")

    def _stacks_of_operations(self) -> list[pl.DataFrame]:
        """The stacks of the operations that are held: any may turn out to explain a fault."""
        parts = [self._kept.operations, self._kept.window, *self._fresh]
        return [part.select("stack").drop_nulls().unique() for part in parts]

    def _count_operations(self, rows: pl.DataFrame) -> None:
        both = pl.concat([self._operations, arena_totals(rows.lazy()).collect()])
        if (
            self.let_go["arenas"] or len(both) > 2 * eviction.LISTED
        ):  # those that are not listed any more are counted as one
            listed = pl.col("arena").is_in(self._tables["arenas"]["arena"].implode())
            both = both.with_columns(arena=pl.when(listed).then("arena"))
        self._operations = both.group_by("arena").sum()


def _without_first(rows: int, frames: list[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    for frame in frames:
        yield frame.slice(rows)
        rows = max(0, rows - len(frame))
