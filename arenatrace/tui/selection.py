"""Filter and order of the fault list."""

from __future__ import annotations

from dataclasses import dataclass, replace

import polars as pl

from arenatrace.analysis.fault_filter import FaultFilter

#: Sort key to the expression that orders by it.
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
    """Filter and order that the user chose; empty members do not restrict.

    ``program`` and ``arena`` are indices. ``text`` is searched, ignoring case, in title, source
    line, task, cause, outcome and signature.
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
        """Return whether any fault may be left out."""
        return replace(self, order="fault", descending=False) != Selection()

    def sorted_by(self, order: str) -> Selection:
        """Return the selection in another order; reversed if it had that order."""
        return replace(self, order=order, descending=not self.descending and order == self.order)

    def apply(self, faults: pl.DataFrame) -> pl.DataFrame:
        """Return the selected rows of ``faults`` in the selected order."""
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
