"""Selection of faults by program, arena, cause, side, task and time."""

from __future__ import annotations

from dataclasses import dataclass, fields

import polars as pl

_NS_PER_S = 1_000_000_000


@dataclass(frozen=True)
class FaultFilter:
    """Conditions on faults. All members must match; any value of one member may match.

    An empty member does not restrict. A fault of unknown time matches no time range.

    Attributes:
        program: program names or ids.
        arena: map names or map ids.
        cause: values of ``schema.Cause``.
        side: ``kernel`` or ``prog``.
        task: task names, pids or tids.
        since_s: seconds after the start of the recording, inclusive.
        until_s: likewise.
    """

    program: tuple[str, ...] = ()
    arena: tuple[str, ...] = ()
    cause: tuple[str, ...] = ()
    side: tuple[str, ...] = ()
    task: tuple[str, ...] = ()
    since_s: float | None = None
    until_s: float | None = None

    def restricts(self) -> bool:
        """Return whether any member restricts."""
        return any(getattr(self, field.name) not in ((), None) for field in fields(self))

    def apply(self, faults: pl.DataFrame, arenas: pl.DataFrame, start_ts_ns: int) -> pl.DataFrame:
        """Return the rows of ``faults`` that match."""
        conditions = [
            *self._names(arenas),
            *(
                pl.col(name).is_in(list(values))
                for name, values in (("cause", self.cause), ("side", self.side))
                if values
            ),
        ]
        if self.since_s is not None:
            conditions.append(pl.col("ts_ns") >= start_ts_ns + round(self.since_s * _NS_PER_S))
        if self.until_s is not None:
            conditions.append(pl.col("ts_ns") <= start_ts_ns + round(self.until_s * _NS_PER_S))
        return faults.filter(*(condition.fill_null(value=False) for condition in conditions))

    def _names(self, arenas: pl.DataFrame) -> list[pl.Expr]:
        conditions = []
        if self.program:
            prog = pl.col("prog").struct
            conditions.append(_is_one(self.program, prog.field("name"), prog.field("id")))
        if self.task:
            task = pl.col("task").struct
            numbers = (task.field("pid"), task.field("tid"))
            conditions.append(_is_one(self.task, task.field("comm"), *numbers))
        if self.arena:
            wanted = arenas.filter(_is_one(self.arena, pl.col("name"), pl.col("map_id")))
            conditions.append(pl.col("arena").is_in(wanted["arena"].to_list()))
        return conditions


def _is_one(values: tuple[str, ...], *columns: pl.Expr) -> pl.Expr:
    """Whether any of the columns, as text, has one of the values."""
    return pl.any_horizontal(
        column.cast(pl.String).is_in(list(values)).fill_null(value=False) for column in columns
    )
