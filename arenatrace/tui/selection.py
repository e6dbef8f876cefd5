"""Which faults to list, and in which order."""

from __future__ import annotations

from dataclasses import dataclass, replace

import polars as pl

from arenatrace.analysis.fault_filter import FaultFilter

#: What a list can be sorted by: key to the expression that orders it.
ORDERS = {
    "fault": pl.col("fault"),
    "time": pl.col("ts_ns"),
    "cause": pl.col("cause"),
    "program": pl.col("prog").struct.field("name"),
    "place": pl.col("title"),
    "side": pl.col("side"),
    "outcome": pl.col("outcome"),
    "page": pl.col("page"),
    "task": pl.col("task").struct.field("comm"),
}


@dataclass(frozen=True)
class Selection:
    """What the user asked for; empty members do not restrict.

    ``program`` is an index into programs, ``arena`` one into arenas. ``text`` is looked for,
    whatever its case, in title, source line, task, cause, outcome and signature.
    """

    text: str = ""
    signature: str | None = None
    program: int | None = None
    arena: int | None = None
    cause: str | None = None
    side: str | None = None
    order: str = "fault"
    descending: bool = False

    def restricts(self) -> bool:
        """Whether it leaves anything out."""
        return replace(self, order="fault", descending=False) != Selection()

    def sorted_by(self, order: str) -> Selection:
        """The same faults in another order; the other way round if it was that one."""
        return replace(self, order=order, descending=not self.descending and order == self.order)

    def apply(self, faults: pl.DataFrame) -> pl.DataFrame:
        """The rows of ``faults`` that are asked for, in the order that is asked for."""
        rows = faults
        for column, wanted in (
            ("signature", self.signature),
            ("prog_index", self.program),
            ("arena", self.arena),
        ):
            if wanted is not None:
                rows = rows.filter(pl.col(column) == wanted)
        chosen = FaultFilter(
            cause=() if self.cause is None else (self.cause,),
            side=() if self.side is None else (self.side,),
        )
        if chosen.restricts():
            rows = chosen.apply(rows, pl.DataFrame(), 0)
        if self.text:
            rows = rows.filter(_contains(self.text.lower()))
        if self.order == "fault" and not self.descending:
            return rows
        return rows.sort(
            ORDERS[self.order], descending=self.descending, nulls_last=True, maintain_order=True
        )


def _contains(text: str) -> pl.Expr:
    task, source, prog = (pl.col(name).struct for name in ("task", "source", "prog"))
    columns = [
        *(pl.col(name) for name in ("title", "cause", "outcome", "signature", "function")),
        *(task.field("comm"), source.field("text"), source.field("file"), prog.field("name")),
        *(task.field(name).cast(pl.String) for name in ("pid", "tid")),
    ]
    return pl.any_horizontal(
        column.str.to_lowercase().str.contains(text, literal=True).fill_null(value=False)
        for column in columns
    )
